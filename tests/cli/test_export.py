"""`agconv export`, and the commands that take its files."""

import json

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

import attentive_gconv as ag
from attentive_gconv.export import formats


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder, make = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    paths = [folder / f"{i}.png" for i in range(3)]
    for path in paths:
        Image.fromarray(make.integers(0, 255, (28, 28), dtype=np.uint8)).save(path)
    return [str(path) for path in paths]


def test_an_exported_file_gives_the_answers_of_the_network(agconv, images, tmp_path):
    out = tmp_path / "net.onnx"
    done = agconv("export", "p4cnn", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert "p4cnn, 10 classes" in done.stderr
    answers = []
    for target in ("p4cnn", str(out)):
        run = agconv("predict", target, *images, "--top", "10", "--json")
        assert run.exit_code == 0, run.output
        answers.append(json.loads(run.stdout))
    for ours, theirs in zip(*answers, strict=True):
        assert ours["file"] == theirs["file"]
        assert [guess["class"] for guess in ours["guesses"]] == [guess["class"] for guess in theirs["guesses"]]
        assert [guess["probability"] for guess in ours["guesses"]] == pytest.approx(
            [guess["probability"] for guess in theirs["guesses"]], abs=1e-5
        )
    metadata = {entry.key: entry.value for entry in onnx.load(out).metadata_props}
    assert metadata["license"] == "MIT"


def test_the_licence_is_the_one_asked_for(agconv, tmp_path):
    out = tmp_path / "net.onnx"
    done = agconv("export", "p4cnn", "--license", "CC0-1.0", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert {entry.key: entry.value for entry in onnx.load(out).metadata_props}["license"] == "CC0-1.0"


def test_pt2_by_command(agconv, tmp_path):
    out = tmp_path / "net.pt2"
    done = agconv("export", "p4cnn", "--format", "pt2", "--out", str(out))
    assert done.exit_code == 0, done.output
    logits = torch.export.load(out).module()(torch.zeros(3, 1, 28, 28))
    torch.testing.assert_close(logits, ag.create_model("p4cnn", pretrained=True)(torch.zeros(3, 1, 28, 28)))


def test_commands_that_need_the_network_itself_refuse_an_exported_file(agconv, images, tmp_path):
    path = tmp_path / "net.onnx"
    path.touch()
    for command in (["explain", str(path), images[0]], ["export", str(path)]):
        run = agconv(*command)
        assert run.exit_code == 1
        assert "exported" in run.stderr
    run = agconv("predict", str(path), images[0], "--weights", "best")
    assert run.exit_code == 1
    assert "has no meaning for" in run.stderr
    run = agconv("predict", str(path), images[0])
    assert run.exit_code == 1
    assert "no model card" in run.stderr
    assert "Traceback" not in run.output


def test_int8_needs_onnx(agconv, tmp_path):
    run = agconv("export", "p4cnn", "--int8", "--format", "pt2", "--out", str(tmp_path / "net.pt2"))
    assert run.exit_code == 1
    assert "--int8 quantizes --format onnx alone" in run.stderr


@pytest.mark.parametrize(
    "option", [["--calibration-images", "16"], ["--data-dir", "data"], ["--dataset-dir", "images"]]
)
def test_options_of_int8_are_not_ignored_without_it(agconv, tmp_path, option):
    run = agconv("export", "p4cnn", *option, "--out", str(tmp_path / "net.onnx"))
    assert run.exit_code == 1
    assert f"{option[0]} {option[1]} has no meaning without --int8" in run.stderr
    assert not list(tmp_path.iterdir())


def test_the_size_can_be_fixed(agconv, untrained, tmp_path, monkeypatch):
    asked = []

    def export(module, path, *_, dynamic_size, **options):
        asked.append(dynamic_size)
        path.touch()

    monkeypatch.setattr(formats, "export", export)
    weights = untrained()
    for options in ((), ("--no-dynamic-size",), ("--dynamic-size",)):
        assert agconv("export", weights, *options, "--out", tmp_path / "net.onnx").exit_code == 0
    assert asked == [True, False, True]


def test_a_dataset_is_not_ignored_where_a_card_names_one(agconv, untrained, tmp_path):
    done = agconv("export", untrained(), "--dataset", "digits", "--out", tmp_path / "net.onnx")
    assert done.exit_code == 1
    assert "--dataset digits is for .pth files" in done.stderr
    assert not (tmp_path / "net.onnx").exists()


def test_int8_of_a_run_and_evaluation_of_the_file(agconv, run, tiny, tmp_path):
    out = tmp_path / "net.onnx"
    tiny.journal.clear()
    done = agconv("export", run, "--int8", "--calibration-images", 16, "--out", out)
    assert done.exit_code == 0, done.stderr
    assert tiny.journal == ["train"] * 16
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(out).graph.node}
    figures = json.loads(agconv("evaluate", out, "--json").stdout)
    assert figures["images"] == 18
    assert figures["changed_by_rotation"] == {"90": 0, "180": 0, "270": 0}
    assert figures["loss"] == pytest.approx(json.loads(agconv("evaluate", run, "--json").stdout)["loss"], rel=0.1)
    for option in (["--dtype", "float64"], ["--device", "cuda"]):
        refused = agconv("evaluate", out, *option)
        assert refused.exit_code == 1
        assert "runs on the CPU in float32" in refused.stderr
