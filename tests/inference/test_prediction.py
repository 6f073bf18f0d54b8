import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import attentive_gconv as ag
from attentive_gconv.checkpoints import ModelCard, TrainedModel
from attentive_gconv.data import load_dataset
from attentive_gconv.inference import predict_files


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    """A network with weights that nobody trained: what it predicts is fixed all the same."""
    torch.manual_seed(3)
    card = ModelCard.of(load_dataset("digits"), seed=0, model="p4cnn", options={"channels": 4})
    network = ag.create_model("p4cnn", channels=4)
    network(torch.randn(16, 1, 28, 28))
    return TrainedModel(network.eval(), card)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Test images as PNG files, upright."""
    splits = load_dataset("digits")
    paths = []
    for i in range(6):
        image, _ = splits.test[i]
        pixels = ((image[0] * splits.std[0] + splits.mean[0]) * 255).round().clamp(0, 255)
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(pixels.numpy().astype(np.uint8)).save(paths[-1])
    return paths


def test_files_are_classified_as_the_images_they_were_made_from(trained, files):
    test = load_dataset("digits").test
    for i, prediction in enumerate(predict_files(trained, files, top=10)):
        with torch.inference_mode():
            expected = trained.module(test[i][0][None]).softmax(1)[0]
        found = {guess.label: guess.probability for guess in prediction.guesses}
        assert [found[name] for name in trained.card.classes] == pytest.approx(expected.tolist(), abs=5e-3)
        assert prediction.error is None


def test_guesses_come_best_first(trained, files):
    (prediction,) = predict_files(trained, files[:1], top=3)
    probabilities = [guess.probability for guess in prediction.guesses]
    assert probabilities == sorted(probabilities, reverse=True)
    (only,) = predict_files(trained, files[:1])
    assert only.guesses == prediction.guesses[:1]


def test_a_p4_network_sees_turned_files_alike_and_an_upright_file_only_through_the_transposition(trained, files):
    image = Image.open(files[0])
    image.transpose(Image.Transpose.ROTATE_90).save(files[1])
    image.transpose(Image.Transpose.TRANSPOSE).save(files[2])
    upright, turned, transposed = (prediction.guesses[0] for prediction in predict_files(trained, files[:3]))
    assert turned.probability == pytest.approx(upright.probability, abs=1e-5)
    assert transposed.probability != pytest.approx(upright.probability, abs=1e-3)
    # a network for transposed images gives the transposed file what the other gave the upright one
    columns_first = TrainedModel(trained.module, replace(trained.card, transposed=True))
    (again,) = predict_files(columns_first, [files[2]])
    assert again.guesses[0].probability == pytest.approx(upright.probability, abs=1e-6)


def test_a_file_that_cannot_be_read_does_not_stop_the_others(trained, files, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    predictions = list(predict_files(trained, [files[0], tmp_path / "broken.png", files[1]]))
    assert [bool(prediction.guesses) for prediction in predictions] == [True, False, True]
    assert "broken.png" in predictions[1].error


def test_a_network_in_float64_is_fed_float64(trained, files):
    double = TrainedModel(ag.create_model("p4cnn").double().eval(), trained.card)
    assert next(iter(predict_files(double, files[:1]))).guesses


@pytest.mark.parametrize(("ground", "stroke", "looks"), [(255, 0, True), (0, 255, False)])
def test_dark_digits_on_white_are_noticed(trained, tmp_path, ground, stroke, looks):
    image = Image.new("L", (40, 40), ground)
    image.paste(stroke, (18, 8, 22, 32))
    image.save(tmp_path / "a.png")
    (plain,) = predict_files(trained, [tmp_path / "a.png"])
    (inverted,) = predict_files(trained, [tmp_path / "a.png"], invert=True)
    assert (plain.looks_inverted, inverted.looks_inverted) == (looks, not looks)


@pytest.mark.parametrize("top", [0, 11])
def test_more_classes_than_there_are_cannot_be_named(trained, top):
    with pytest.raises(ValueError, match=rf"top \(={top}\) must lie between 1 and 10"):
        predict_files(trained, [], top=top)


def test_logits_that_are_not_finite_are_an_error(trained, files):
    """Finite weights can be too large: the class was "8" with probability NaN."""
    module = copy.deepcopy(trained.module)
    with torch.no_grad():
        module.c7.weight.fill_(3e38)
    found = list(predict_files(replace(trained, module=module), files[:2]))
    assert [prediction.guesses for prediction in found] == [(), ()]
    assert found[0].error == f"{files[0]}: the network gives logits that are not finite: its weights cannot be used"
