"""Options that several commands share: the dataset, its folders, and the weights of a run."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import attentive_gconv as ag
from attentive_gconv.data.datasets import DATASETS, DatasetEntry
from attentive_gconv.data.request import LoadRequest

MODEL = ("--model", "p4cnn")


@pytest.fixture
def lose_images(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[LoadRequest]]:
    """From its call on, the dataset ``tiny`` has no images, and every request for them is listed."""
    requests: list[LoadRequest] = []

    def load(request):
        requests.append(request)
        raise ValueError("there are no images")

    def lose():
        sources = {"auto": "what there is", "made": "made here"}
        monkeypatch.setitem(DATASETS, "tiny", DatasetEntry("no images", sources, load, own_folder=True, resizable=True))
        return requests

    return lose


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    return {"--data-dir": tmp_path / "data", "--dataset-dir": tmp_path / "own"}


@pytest.mark.parametrize(
    ("command", "words", "options"),
    [
        ("predict", ("a.png", *MODEL), ["--data-dir"]),
        ("explain", ("a.png", *MODEL), ["--data-dir"]),
        ("demo", (), ["--data-dir"]),
        ("evaluate", MODEL, ["--data-dir", "--dataset-dir"]),
        ("export", MODEL, ["--data-dir", "--dataset-dir"]),
    ],
)
def test_the_dataset_of_the_authors_checkpoints(agconv, lose_images, folders, tmp_path, command, words, options):
    torch.save(ag.create_model("p4cnn").state_dict(), tmp_path / "p4cnn.pth")
    requests = lose_images()
    given = [word for option in options for word in (option, folders[option])]
    result = agconv(command, tmp_path / "p4cnn.pth", *words, "--dataset", "tiny", *given)
    assert result.stderr.startswith("agconv: there are no images")
    (request,) = requests
    assert (request.folder, request.dataset_dir) == tuple(
        folders[name] if name in options else None for name in folders
    )


@pytest.mark.parametrize("command", [("evaluate",), ("export", "--int8")])
def test_the_dataset_of_a_card(agconv, untrained, lose_images, folders, command):
    weights = untrained()
    requests = lose_images()
    result = agconv(*command, weights, *(word for pair in folders.items() for word in pair))
    assert result.stderr.startswith("agconv: there are no images")
    assert [(request.folder, request.dataset_dir) for request in requests] == [tuple(folders.values())]


def test_the_dataset_that_is_prepared(agconv, lose_images, folders):
    requests = lose_images()
    options = ("--source", "made", "--no-download", "--image-size", 9, "--protocol", "final", "--seed", 3)
    agconv("data", "tiny", *options, *(word for pair in folders.items() for word in pair))
    data_dir, dataset_dir = folders.values()
    expected = LoadRequest(data_dir, "final", 3, source="made", download=False, dataset_dir=dataset_dir, image_size=9)
    assert requests == [expected]


def test_the_weights_of_a_run(agconv, run, tmp_path):
    """A run opens with its best weights, which are not there: the next error says that the last ones have opened."""
    (run / "checkpoints" / "best.safetensors").unlink()
    (tmp_path / "no.png").write_bytes(b"no image")
    image, wrong_suffix = (tmp_path / "no.png",), ("--out", tmp_path / "net.txt")
    for command, words, message in (
        ("predict", image, "this is no PNG or JPEG image"),
        ("explain", image, "this is no PNG or JPEG image"),
        ("export", wrong_suffix, "must end in '.onnx'"),
    ):
        assert "has no best.safetensors" in agconv(command, run, *words).stderr
        assert message in agconv(command, run, *words, "--weights", "last").stderr
