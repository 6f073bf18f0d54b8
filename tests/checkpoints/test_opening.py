from dataclasses import replace

import pytest
import torch

import attentive_gconv as ag
from attentive_gconv.checkpoints import WeightsError, open_model
from attentive_gconv.checkpoints.weights import ModelCard, save_weights
from attentive_gconv.data import load_dataset
from attentive_gconv.data.datasets import DATASETS
from attentive_gconv.training import ConfigError, train
from tiny import PowerCut, tiny_config


@pytest.fixture
def run(tiny, tmp_path):
    train(tiny_config(epochs=3), tmp_path / "run")
    return tmp_path / "run"


def test_a_run_opens_with_the_weights_that_its_protocol_reports(run, tiny, tmp_path):
    assert open_model(run).origin.name == "best.safetensors"
    assert open_model(run, which="last").origin.name == "last.safetensors"
    train(tiny_config(epochs=1, protocol="paper"), tmp_path / "paper")
    assert open_model(tmp_path / "paper").origin.name == "last.safetensors"


def test_a_run_remembers_its_data(tiny, tmp_path):
    train(tiny_config(epochs=1, dataset__dir=str(tmp_path)), tmp_path / "run")
    opened = open_model(tmp_path / "run")
    assert opened.data_dir == str(tmp_path)
    assert opened.load_splits().name == "tiny"
    # the weights alone can travel: they name no folder of this machine
    assert str(tmp_path).encode() not in opened.origin.read_bytes()


def test_weights_open_by_themselves(run):
    opened = open_model(run / "checkpoints" / "last.safetensors")
    assert opened.trained.card.epoch == 3
    assert len(opened.load_splits().test) == 18


def test_another_dataset_must_have_the_same_classes_and_shape(run):
    with pytest.raises(ConfigError, match=r"dataset \(='digits'\) has 10 classes"):
        open_model(run).load_splits(dataset="digits")


def test_the_authors_checkpoint_opens_with_names_for_network_and_data(tiny, tmp_path, monkeypatch):
    path = tmp_path / "p4cnn.pth"
    torch.save(ag.create_model("p4cnn").state_dict(), path)
    opened = open_model(path, model="p4cnn", dataset="digits")
    card = opened.trained.card
    assert (card.model, card.dataset, card.protocol) == ("p4cnn", "digits", "paper")
    assert opened.trained.module(torch.zeros(1, 1, 28, 28)).shape == (1, 10)


def test_an_official_validation_part_stays_one(tiny, tmp_path, monkeypatch):
    """PCam's checkpoints: its validation images belong to no other protocol."""
    tiny.classes = tuple("abcdefghij")  # as many as the network of the file has logits
    monkeypatch.setitem(DATASETS, "tiny", replace(DATASETS["tiny"], official_validation=True))
    path = tmp_path / "p4cnn.pth"
    torch.save(ag.create_model("p4cnn", num_classes=10).state_dict(), path)
    assert open_model(path, model="p4cnn", dataset="tiny").trained.card.protocol == "validation"
    with pytest.raises(ValueError, match=r"`protocol` \(='paper'\) has no meaning for tiny"):
        load_dataset("tiny", protocol="paper")


@pytest.mark.parametrize("given", [{}, {"model": "p4cnn"}, {"dataset": "digits"}])
def test_the_authors_checkpoint_needs_both_names(tmp_path, given):
    (tmp_path / "a.pth").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"\(--model\).*\(--dataset\)"):
        open_model(tmp_path / "a.pth", **given)


def test_arguments_without_meaning_are_refused(run):
    with pytest.raises(ConfigError, match=r"model \(='p4cnn'\) has no meaning"):
        open_model(run, model="p4cnn")
    with pytest.raises(ConfigError, match=r"weights \(='best'\) chooses within a run folder"):
        open_model(run / "checkpoints" / "last.safetensors", which="best")


def test_what_is_not_there_is_named(tiny, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no run folder or file of weights"):
        open_model(tmp_path / "none")
    tiny.fail_after(5)
    with pytest.raises(PowerCut):
        train(tiny_config(), tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="no epoch is finished; continue the run with `agconv train --resume"):
        open_model(tmp_path / "run")


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("hello, this is no network")
    with pytest.raises(WeightsError, match=r"notes\.txt is not a whole safetensors file"):
        open_model(tmp_path / "notes.txt")


def test_a_dataset_made_with_another_seed_is_made_so_again(tmp_path):
    card = ModelCard.of(load_dataset("digits", seed=3), seed=3, model="p4cnn", options={"channels": 1})
    path = tmp_path / "w.safetensors"
    network = ag.create_model("p4cnn", channels=1)
    save_weights(path, network, replace(card, epoch=1))
    again = open_model(path).load_splits()
    assert torch.equal(again.test[0][0], load_dataset("digits", seed=3).test[0][0])
    assert not torch.equal(again.test[0][0], load_dataset("digits", seed=0).test[0][0])


def test_a_dataset_of_ones_own_gets_its_folder_and_size_back(tiny, tmp_path, monkeypatch):
    """Both were given to image-folder alone."""
    requests = []

    def load(request):
        requests.append(request)
        return tiny.load(request)

    monkeypatch.setitem(DATASETS, "tiny", replace(DATASETS["tiny"], load=load, own_folder=True, resizable=True))
    train(tiny_config(epochs=1, dataset__folder=str(tmp_path), dataset__image_size=28), tmp_path / "run")
    open_model(tmp_path / "run").load_splits()
    assert [(request.dataset_dir, request.image_size) for request in requests] == [(tmp_path, 28)] * 2


def test_the_way_to_continue_can_be_copied(tiny, tmp_path):
    tiny.fail_after(5)
    with pytest.raises(PowerCut):
        train(tiny_config(), tmp_path / "a run")
    with pytest.raises(FileNotFoundError, match=r"--resume --out '.*/a run'`"):
        open_model(tmp_path / "a run")
