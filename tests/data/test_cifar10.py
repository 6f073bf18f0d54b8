"""CIFAR-10 through the code that reads the real files, on small ones of the same format."""

import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10

from attentive_gconv.data import DatasetError, DataSplits
from attentive_gconv.data.cifar10 import MEAN, STD, load_cifar10
from attentive_gconv.data.datasets import DATASETS
from attentive_gconv.data.request import LoadRequest
from attentive_gconv.training import load_recipe, train

ROWS, HELD_OUT = 6, 7
BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


class OldPickler(pickle.Pickler):
    """Writes arrays as numpy did in 2009: their types have flags that are numbers, of which numpy 2.4 warns."""

    def reducer_override(self, value: object) -> Any:
        if isinstance(value, np.dtype) and value == np.uint8:
            return np.dtype, ("u1", 0, 1), (3, "|", None, None, None, -1, -1, 0)
        return NotImplemented


def pickled(content: object) -> bytes:
    stream = io.BytesIO()
    OldPickler(stream, protocol=2).dump(content)
    return stream.getvalue()


def batch(number: int) -> dict[str, Any]:
    random = np.random.default_rng(number)
    return {
        "data": random.integers(0, 256, (ROWS, 3072)).astype(np.uint8),
        "labels": [(number + i) % 10 for i in range(ROWS)],
    }


def files_of(contents: dict[str, bytes], url: str, folder: Path) -> Any:
    """Packs the files as CIFAR-10's are packed, and says what they ought to be."""
    path = folder / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    sums = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    tiny = {
        "url": f"{url}{path.name}",
        "tgz_md5": hashlib.md5(path.read_bytes()).hexdigest(),
        "train_list": [[name, sums[name]] for name in BATCHES[:-1]],
        "test_list": [["test_batch", sums["test_batch"]]],
        "meta": {**CIFAR10.meta, "md5": sums["batches.meta"]},
    }
    return type("Tiny", (CIFAR10,), tiny)


@pytest.fixture
def make(server: Any) -> Callable[..., Any]:
    def packed(**changed: object) -> Any:
        contents: dict[str, object] = {name: batch(number) for number, name in enumerate(BATCHES)}
        contents["batches.meta"] = {"label_names": CLASSES}
        return files_of(
            {name: pickled(value) for name, value in {**contents, **changed}.items()}, server.address, server.folder
        )

    return packed


def load(data_dir: Path, files: Any, **options: Any) -> DataSplits:
    return load_cifar10(LoadRequest(data_dir, **options), files, held_out=HELD_OUT)


def test_downloaded_unpacked_and_read(data_dir: Path, make: Callable) -> None:
    splits = load(data_dir, make())
    assert {name: len(split) for name, split in splits.by_name().items()} == {"train": 23, "valid": 7, "test": 6}
    assert splits.classes == tuple(CLASSES)
    assert splits.image_shape == (3, 32, 32)
    rows = np.concatenate([batch(number)["data"] for number in range(5)])
    labels = [label for number in range(5) for label in batch(number)["labels"]]
    assert splits.train.labels.tolist() == labels[:-HELD_OUT]
    assert splits.valid is not None
    assert splits.valid.labels.tolist() == labels[-HELD_OUT:]
    assert splits.test.labels.tolist() == batch(5)["labels"]
    for dataset, index, row in ((splits.train, 8, rows[8]), (splits.valid, 6, rows[29])):
        raw = torch.from_numpy(row.reshape(3, 32, 32)).double() / 255
        expected = torch.stack([(raw[c] - MEAN[c]) / STD[c] for c in range(3)])
        torch.testing.assert_close(dataset[index][0].double(), expected, rtol=0, atol=1e-6)
    # nothing but the archive and what was in it; a second time needs no network
    assert sorted(path.name for path in (data_dir / "cifar10").iterdir()) == [
        "cifar-10-batches-py",
        "cifar-10-python.tar.gz",
    ]


def test_the_paper_protocol_trains_on_all(data_dir: Path, make: Callable) -> None:
    splits = load(data_dir, make(), protocol="paper")
    assert (len(splits.train), splits.valid) == (30, None)


def test_the_augmentation_is_of_the_training_images_alone(data_dir: Path, make: Callable) -> None:
    files = make()
    plain, augmented = load(data_dir, files), load(data_dir, files, augmentation="flip-crop")
    assert (plain.augmentation, augmented.augmentation) == ("none", "flip-crop")
    augmented.train.draw_from(0)
    assert any(not torch.equal(plain.train[i][0], augmented.train[i][0]) for i in range(5))
    for name in ("valid", "test"):
        pair = [splits.by_name()[name] for splits in (plain, augmented)]
        assert all(torch.equal(pair[0][i][0], pair[1][i][0]) for i in range(6))


def test_an_archive_that_is_there_is_unpacked_without_a_network(data_dir: Path, make: Callable, server: Any) -> None:
    files = make()
    (data_dir / "cifar10").mkdir()
    (server.folder / files.filename).rename(data_dir / "cifar10" / files.filename)
    assert len(load(data_dir, files, download=False).train) == 23


def test_what_is_unpacked_needs_no_archive(data_dir: Path, make: Callable) -> None:
    files = make()
    load(data_dir, files)
    (data_dir / "cifar10" / files.filename).unlink()
    assert len(load(data_dir, files, download=False).train) == 23


def test_missing_and_not_to_be_downloaded(data_dir: Path, make: Callable) -> None:
    with pytest.raises(DatasetError, match=r"cifar-10-python.tar.gz are both missing: put .*allow the download"):
        load(data_dir, make(), download=False)
    assert list(data_dir.iterdir()) == []


def test_a_spoilt_download_is_not_kept(data_dir: Path, make: Callable, server: Any) -> None:
    files = make()
    (server.folder / files.filename).write_bytes(b"<html>sign in</html>")
    with pytest.raises(DatasetError, match=r"cannot download .*corrupted.*put cifar-10-python.tar.gz into"):
        load(data_dir, files)
    assert list((data_dir / "cifar10").iterdir()) == []


def test_a_truncated_archive_is_named(data_dir: Path, make: Callable, server: Any) -> None:
    files = make()
    (data_dir / "cifar10").mkdir()
    archive = data_dir / "cifar10" / files.filename
    archive.write_bytes((server.folder / files.filename).read_bytes()[:-9])
    with pytest.raises(DatasetError, match=r"cifar-10-python.tar.gz is not .*MD5.*Remove .*downloaded again"):
        load(data_dir, files)
    assert [path.name for path in (data_dir / "cifar10").iterdir()] == [files.filename]


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "its MD5 is"),
        (lambda path: path.write_bytes(b""), "its MD5 is"),
        (lambda path: path.unlink(), "is missing"),
    ],
)
def test_damaged_files_are_named_and_never_unpickled(
    data_dir: Path,
    make: Callable,
    name: str,
    spoil: Callable[[Path], object],
    what: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = make()
    load(data_dir, files)
    path = data_dir / "cifar10" / "cifar-10-batches-py" / name
    spoil(path)
    monkeypatch.setattr(pickle, "load", lambda *_, **__: pytest.fail("a file was unpickled"))
    with pytest.raises(DatasetError, match=rf"{name} .*{what}.*emove the folder"):
        load(data_dir, files)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"test_batch": {**batch(5), "labels": [0, 1, 2, 3, 4, 10]}}, "labels beyond 0 to 9"),
        ({"test_batch": {**batch(5), "labels": [0, 1, 2, 3, 4, -1]}}, "labels beyond 0 to 9"),
        ({"data_batch_2": {**batch(1), "labels": [0] * 5}}, r"images \(30, 32, 32, 3\) and 29 labels"),
        ({"batches.meta": {"label_names": CLASSES[:5]}}, "labels beyond 0 to 4"),
    ],
)
def test_mislabelled_files_are_refused_whatever_their_checksum(
    data_dir: Path, make: Callable, changed: dict[str, object], what: str
) -> None:
    with pytest.raises(DatasetError, match=rf"cifar-10-batches-py holds {what}|{what}.*remove .*cifar-10-batches-py"):
        load(data_dir, make(**changed))


def test_a_seed_has_no_effect_and_is_refused(data_dir: Path, make: Callable) -> None:
    with pytest.raises(ValueError, match=r"`seed` \(=3\) has no effect"):
        load(data_dir, make(), seed=3)


def test_the_recipe_trains_on_it(
    data_dir: Path, make: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make()
    entry = replace(DATASETS["cifar10"], load=lambda request: load_cifar10(request, files, held_out=HELD_OUT))
    monkeypatch.setitem(DATASETS, "cifar10", entry)
    overrides = {
        "model": {"name": "p4_allcnnc", "channels": 2},
        "dataset.dir": str(data_dir),
        "dataset.augmentation": "flip-crop",
        "epochs": 1,
        "batch_size": 10,
        "accelerator": "cpu",
    }
    result = train(load_recipe("cifar10", overrides), tmp_path / "run")
    assert result is not None
    assert (result.dataset, result.test_images) == ("cifar10", 6)
