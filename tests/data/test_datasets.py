import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from attentive_gconv.data import list_datasets, load_dataset


def test_names_are_sorted() -> None:
    assert list_datasets() == ["cifar10", "digits", "elpv", "image-folder", "pcam", "rot-mnist"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rot-minst", {}, "unknown dataset 'rot-minst': did you mean 'rot-mnist'"),
        ("digits", {"protocol": "papers"}, "unknown protocol 'papers': did you mean 'paper'"),
        ("rot-mnist", {"source": "orignal"}, "unknown source of rot-mnist 'orignal': did you mean 'original'"),
        ("digits", {"source": "remade"}, "unknown source of digits 'remade'.*auto, embedded"),
        ("digits", {"seed": -1}, r"`seed` \(=-1\) must be an integer from 0"),
        ("digits", {"seed": 2**32}, r"`seed` \(=4294967296\)"),
        ("digits", {"seed": 1.0}, r"`seed` \(=1.0\)"),
        ("cifar10", {"augmentation": "flip-crops"}, "unknown augmentation 'flip-crops': did you mean 'flip-crop'"),
        (
            "rot-mnist",
            {"augmentation": "flip-crop"},
            r"`augmentation` \(='flip-crop'\) has no meaning for rot-mnist: take 'none', 'rotation'",
        ),
        ("cifar10", {"dataset_dir": "images"}, r"`dataset_dir` \(='images'\) has no meaning for cifar10"),
        (
            "pcam",
            {"image_size": 32},
            r"`image_size` \(='32'\) has no meaning for pcam, only for 'elpv', 'image-folder'",
        ),
        ("image-folder", {"image_size": 0}, r"`image_size` \(=0\) must be a number of pixels from 1 to 4096"),
        ("image-folder", {}, r"`dataset_dir` is missing: give the folder .*\(--dataset-dir\)"),
        ("image-folder", {"dataset_dir": "nowhere"}, r"`dataset_dir` \(='nowhere'\) is no folder"),
    ],
)
def test_arguments_that_make_no_sense(name: str, options: dict[str, Any], message: str, data_dir: Path) -> None:
    with pytest.raises(ValueError, match=message):
        load_dataset(name, data_dir, **options)
    assert list(data_dir.iterdir()) == []


def test_a_file_for_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(ValueError, match=r"`data_dir`.*is a file: give the folder"):
        load_dataset("rot-mnist", path)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"'digits' needs sklearn.datasets.*pip install 'attentive-gconv\[train\]'"):
        load_dataset("digits")


def test_importing_needs_no_extra() -> None:
    code = (
        "import sys; from attentive_gconv.data import load_dataset; "
        "print({'torchvision', 'sklearn', 'matplotlib', 'lightning', 'h5py', 'PIL'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


@pytest.mark.parametrize("augmentation", ["none", "rotation"])
def test_a_default_device_makes_no_difference(augmentation: str) -> None:
    expected = load_dataset("digits", augmentation=augmentation)
    with torch.device("meta"):
        splits = load_dataset("digits", augmentation=augmentation)
        for dataset in (expected.train, splits.train):
            dataset.draw_from(1)
        found = [splits.train[0], *splits.train.__getitems__([1, 2])]
    for i, (image, label) in enumerate(found):
        assert torch.equal(image, expected.train[i][0])
        assert label == expected.train[i][1]
