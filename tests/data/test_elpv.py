"""The loader on a small folder of the package's layout; the package itself is never needed."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from attentive_gconv.data import DatasetError, load_dataset
from attentive_gconv.data.elpv import load_elpv
from attentive_gconv.data.request import LoadRequest

CELLS = 80
PROBABILITIES = ("0.0", "0.3333333333333333", "0.6666666666666666", "1.0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty cells of each probability, half of each type; the grey value of an image is its number."""
    made = tmp_path / "package" / "data"
    (made / "images").mkdir(parents=True)
    rows = []
    for number in range(CELLS):
        name = f"images/cell{number:04}.png"
        Image.fromarray(np.full((30, 30), number, dtype=np.uint8)).save(made / name)
        rows.append(f"{name}  {PROBABILITIES[number % 4]:<19} {'mono' if number < CELLS // 2 else 'poly'}")
    (made / "labels.csv").write_text("\n".join(rows) + "\n")
    return made


def numbers(dataset, splits) -> list[int]:
    """Which cells a split holds, from their grey values."""
    images = torch.stack([dataset[index][0] for index in range(len(dataset))])
    pixels = (images * splits.std[0] + splits.mean[0]) * 255
    return pixels.mean((1, 2, 3)).round().int().tolist()


def load(folder: Path, **settings):
    return load_elpv(LoadRequest(None, **settings), folder, CELLS)


def test_splits_are_stratified_disjoint_and_whole(folder):
    splits = load(folder)
    cells = {name: numbers(part, splits) for name, part in splits.by_name().items()}
    assert {name: len(found) for name, found in cells.items()} == {"train": 56, "valid": 8, "test": 16}
    assert sorted(itertools.chain.from_iterable(cells.values())) == list(range(CELLS))
    for name, each in (("test", 2), ("valid", 1)):
        strata = [(cell % 4, cell < CELLS // 2) for cell in cells[name]]
        assert all(strata.count(stratum) == each for stratum in set(strata))
        assert len(set(strata)) == 8
    # a defect probability of 0.5 or more is a defect
    for name, part in splits.by_name().items():
        assert part.labels.tolist() == [int(cell % 4 >= 2) for cell in cells[name]]


@pytest.mark.parametrize("protocol", ["final", "paper"])
def test_all_training_images_are_trained_on_without_validation(folder, protocol):
    held_out, whole = load(folder), load(folder, protocol=protocol)
    assert whole.valid is None
    together = numbers(held_out.train, held_out) + numbers(held_out.valid, held_out)
    assert sorted(together) == sorted(numbers(whole.train, whole))
    assert numbers(held_out.test, held_out) == numbers(whole.test, whole)


def test_the_seed_draws_the_split(folder):
    first, again, other = (load(folder, seed=seed) for seed in (0, 0, 1))
    assert numbers(first.test, first) == numbers(again.test, again) != numbers(other.test, other)


def test_images_are_scaled_and_standardised_by_the_training_images(folder):
    splits = load(folder, image_size=16)
    assert splits.image_shape == (1, 16, 16)
    images = torch.stack([splits.train[index][0] for index in range(len(splits.train))])
    assert images.mean().item() == pytest.approx(0, abs=1e-5)
    assert images.double().std(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_files_that_are_missing_damaged_or_elsewhere(folder):
    table = folder / "labels.csv"
    rows = table.read_text()
    table.write_text(rows.replace("images/cell0003.png", "../../secret.png"))
    with pytest.raises(DatasetError, match=r"labels.csv names files outside its folder"):
        load(folder)
    table.write_text(rows.replace("0.3333333333333333", "many"))
    with pytest.raises(DatasetError, match="a defect probability is no number"):
        load(folder)
    table.write_text(rows.rstrip().rpartition("\n")[0])
    with pytest.raises(DatasetError, match="must have 80 rows"):
        load(folder)
    table.write_text(rows)
    (folder / "images" / "cell0007.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"cell0007.png.*install elpv-dataset again"):
        load(folder)
    table.unlink()
    with pytest.raises(DatasetError, match=r"labels.csv is missing"):
        load(folder)


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "elpv_dataset", None)
    with pytest.raises(ImportError, match=r"pip install 'attentive-gconv\[elpv\]'"):
        load_dataset("elpv")
