import json

import pytest
import torch

import attentive_gconv as ag
from attentive_gconv import inference
from attentive_gconv.checkpoints import open_model
from attentive_gconv.data import load_dataset
from attentive_gconv.inference import evaluate
from tiny import RECIPE

DOUBLE = ("--dtype", "float64")


def test_json_holds_the_figures_of_the_run(agconv, run):
    result = agconv("evaluate", run, "--json")
    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures["error"] == json.loads((run / "result.json").read_text())["test_error"]
    assert figures["accuracy"] == pytest.approx(1 - figures["error"])
    assert (figures["model"], figures["dataset"], figures["split"], figures["images"]) == ("p4cnn", "tiny", "test", 18)
    assert [(row["name"], row["count"]) for row in figures["classes"]] == [("a", 6), ("b", 6), ("c", 6)]


def test_a_p4_network_predicts_turned_images_alike(agconv, run):
    figures = json.loads(agconv("evaluate", run, "--json", "--dtype", "float64").stdout)
    assert figures["changed_by_rotation"] == {"90": 0, "180": 0, "270": 0}


def test_mirrorings_are_counted_if_asked_for(agconv, run):
    figures = json.loads(agconv("evaluate", run, "--json", "--mirrorings").stdout)
    assert set(figures["changed_by_mirroring"]) == {"0", "90", "180", "270"}
    printed = agconv("evaluate", run, "--mirrorings").stdout
    changed = figures["changed_by_mirroring"]["90"]
    assert f"mirrored left to right, and rotated\n  by   0°  {figures['changed_by_mirroring']['0']} of 18" in printed
    assert f"  by  90°  {changed} of 18" in printed
    assert json.loads(agconv("evaluate", run, "--json").stdout)["changed_by_mirroring"] is None


def test_the_table_is_readable(agconv, run):
    printed = agconv("evaluate", run, "--confusion").stdout
    figures = json.loads(agconv("evaluate", run, "--json").stdout)
    assert f"error     {100 * figures['error']:.2f} %" in printed
    assert f"accuracy  {100 * figures['accuracy']:.2f} %" in printed
    assert "by  90°  0 of 18  (0.00 %)" in printed
    assert "true class by row" in printed
    assert f"{figures['classes'][0]['auc']:.4f}" in printed


def test_the_precision_is_the_one_asked_for(agconv, untrained):
    weights = untrained()
    losses = [json.loads(agconv("evaluate", weights, *more, "--json").stdout)["loss"] for more in ((), DOUBLE)]
    expected = evaluate(
        open_model(weights).trained.module, load_dataset("tiny").test, ("a", "b", "c"), dtype=torch.float64
    )
    assert losses[0] != losses[1] == pytest.approx(expected.loss, rel=1e-12)


def test_how_it_is_computed_reaches_the_evaluation(agconv, untrained, monkeypatch):
    asked = {}

    def stop(*_, **how):
        asked.update(how)
        raise ValueError("seen")

    monkeypatch.setattr(inference, "evaluate", stop)
    result = agconv("evaluate", untrained(), "--batch-size", 7, "--workers", 2, "--device", "meta", *DOUBLE)
    assert result.stderr.startswith("agconv: seen")
    expected = {"batch_size": 7, "workers": 2, "device": torch.device("meta"), "dtype": torch.float64}
    assert asked.items() >= expected.items()


@pytest.mark.parametrize(("split", "images"), [("train", 24), ("valid", 15), ("test", 18)])
def test_other_splits(agconv, run, split, images):
    figures = json.loads(agconv("evaluate", run, "--split", split, "--json").stdout)
    assert (figures["split"], figures["images"]) == (split, images)


def test_less_can_be_asked_for(agconv, run):
    figures = json.loads(agconv("evaluate", run, "--limit", 4, "--no-rotations", "--batch-size", 3, "--json").stdout)
    assert figures["images"] == 4
    assert figures["changed_by_rotation"] is None


def test_the_weights_alone_are_enough(agconv, run):
    folder = json.loads(agconv("evaluate", run, "--weights", "last", "--json").stdout)
    file = json.loads(agconv("evaluate", run / "checkpoints" / "last.safetensors", "--json").stdout)
    assert file == folder


def test_images_are_standardised_as_in_training(agconv, run, tiny):
    before = json.loads(agconv("evaluate", run, "--json").stdout)
    tiny.std = 0.25
    after = json.loads(agconv("evaluate", run, "--json").stdout)
    # the same numbers now stand for other images, so the loss must follow
    assert after["loss"] != pytest.approx(before["loss"])


def test_the_authors_checkpoint(agconv, tmp_path):
    path = tmp_path / "p4cnn.pth"
    torch.save(ag.create_model("p4cnn").state_dict(), path)
    result = agconv("evaluate", path, "--model", "p4cnn", "--dataset", "digits", "--limit", 20, "--json")
    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)
    assert (figures["parameters"], figures["images"], figures["dataset"]) == (24610, 20, "digits")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dataset", "digits"), "has 10 classes"),
        (("--device", "warp"), "--device warp: not available here"),
        (("--model", "p4cnn"), "has no meaning"),
    ],
)
def test_bad_input_is_one_line(agconv, run, arguments, message):
    result = agconv("evaluate", run, *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_split_that_is_not_there_is_named(agconv, tiny, tmp_path):
    agconv("train", "--recipe", RECIPE, "--epochs", 1, "--protocol", "paper", "--out", tmp_path / "p")
    result = agconv("evaluate", tmp_path / "p", "--split", "valid")
    assert "has no such split under the protocol 'paper'; there are train, test" in result.stderr


def test_nothing_at_the_place_is_named(agconv, tmp_path):
    result = agconv("evaluate", tmp_path / "none")
    assert result.exit_code == 1
    assert "there is no run folder or file of weights" in result.stderr
