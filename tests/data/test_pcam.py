"""PCam through the code that reads the real files, on small ones of the same format."""

import gzip
import hashlib
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from attentive_gconv.data import DatasetError, DataSplits, load_dataset
from attentive_gconv.data.datasets import DATASETS
from attentive_gconv.data.pcam import MEAN, PCAM, STD, PackedFile, PcamFiles, load_pcam
from attentive_gconv.data.request import LoadRequest
from attentive_gconv.training import load_recipe, train

COUNTS = {"train": 20, "valid": 7, "test": 5}
X, Y = "camelyonpatch_level_2_split_train_x.h5", "camelyonpatch_level_2_split_train_y.h5"


def arrays(part: str) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(COUNTS[part])
    count = COUNTS[part]
    return (
        random.integers(0, 256, (count, 96, 96, 3)).astype(np.uint8),
        random.integers(0, 2, (count, 1, 1, 1)).astype(np.uint8),
    )


def write(path: Path, name: str, values: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        # in chunks and compressed, as the real ones
        file.create_dataset(name, data=values, compression="gzip", chunks=(min(2, len(values)), *values.shape[1:]))


@pytest.fixture
def files(server: Any) -> PcamFiles:
    """Small files that lie, compressed, on the server alone."""
    parts = {}
    for part, count in COUNTS.items():
        packed = []
        for name, values in zip("xy", arrays(part), strict=True):
            path = server.folder / f"camelyonpatch_level_2_split_{part}_{name}.h5"
            write(path, name, values)
            content = gzip.compress(path.read_bytes(), compresslevel=1)
            path.with_name(f"{path.name}.gz").write_bytes(content)
            path.unlink()
            packed.append(PackedFile(path.name, hashlib.md5(content).hexdigest(), drive="none"))
        parts[part] = (packed[0], packed[1], count)
    return PcamFiles(parts, mirror=server.address)


@pytest.fixture
def folder(data_dir: Path, files: PcamFiles, server: Any) -> Path:
    """A folder with all files, uncompressed."""
    folder = data_dir / "pcam"
    folder.mkdir()
    for path in server.folder.iterdir():
        (folder / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return folder


def load(data_dir: Path, files: PcamFiles, **options: Any) -> DataSplits:
    return load_pcam(LoadRequest(data_dir, **{"download": False, **options}), files)


def expected(part: str) -> torch.Tensor:
    raw = torch.from_numpy(arrays(part)[0]).permute(0, 3, 1, 2).double() / 255
    return (raw - torch.tensor(MEAN).view(-1, 1, 1)) / torch.tensor(STD).view(-1, 1, 1)


def test_the_official_split(data_dir: Path, files: PcamFiles, folder: Path) -> None:
    splits = load(data_dir, files)
    assert {name: len(split) for name, split in splits.by_name().items()} == COUNTS
    assert splits.image_shape == (3, 96, 96)
    for part, dataset in splits.by_name().items():
        assert dataset.labels.tolist() == arrays(part)[1].ravel().tolist()
        images = torch.stack([image for image, _ in dataset.__getitems__(range(len(dataset)))])
        torch.testing.assert_close(images.double(), expected(part), rtol=0, atol=1e-5)
    assert sum(map(sum, splits.class_counts().values())) == 32


def test_several_workers_read_the_same_files(data_dir: Path, files: PcamFiles, folder: Path) -> None:
    splits = load(data_dir, files)
    splits.train[0]  # the file is open in this process when it is forked
    loader = DataLoader(splits.train, batch_size=3, num_workers=2, multiprocessing_context="fork")
    images, labels = zip(*loader, strict=True)
    torch.testing.assert_close(torch.cat(images).double(), expected("train"), rtol=0, atol=1e-5)
    assert torch.equal(torch.cat(labels), splits.train.labels)


def test_a_dataset_can_be_sent_to_a_process_that_is_not_forked(data_dir: Path, files: PcamFiles, folder: Path) -> None:
    splits = load(data_dir, files)
    splits.train[0]  # an open file cannot be sent
    sent = pickle.loads(pickle.dumps(splits.train))
    assert torch.equal(sent[7][0], splits.train[7][0])


def test_images_stay_in_the_file(data_dir: Path, files: PcamFiles, folder: Path) -> None:
    """What is held, and what a worker is sent, does not grow with the images."""
    splits = load(data_dir, files)
    splits.train[3]
    assert len(pickle.dumps(splits.train)) < 96 * 96 * 3


def test_downloaded_checked_and_uncompressed(data_dir: Path, files: PcamFiles, server: Any) -> None:
    splits = load(data_dir, files, download=True)
    torch.testing.assert_close(splits.test[4][0].double(), expected("test")[4], rtol=0, atol=1e-5)
    # the compressed files were brought for this and are not kept
    assert sorted(path.name for path in (data_dir / "pcam").iterdir()) == sorted(
        file.name for images, labels, _ in files.parts.values() for file in (images, labels)
    )


def test_compressed_files_that_are_there_are_kept(data_dir: Path, files: PcamFiles, server: Any) -> None:
    (data_dir / "pcam").mkdir()
    for path in server.folder.iterdir():
        (data_dir / "pcam" / path.name).write_bytes(path.read_bytes())
    load(data_dir, files)
    assert len(list((data_dir / "pcam").iterdir())) == 12


def test_missing_files_are_named(data_dir: Path, files: PcamFiles, folder: Path) -> None:
    (folder / Y).unlink()
    with pytest.raises(DatasetError, match=rf"lacks {Y}.gz: put them there .*or allow the download"):
        load(data_dir, files)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda content: content[:-20], "MD5"),
        (lambda content: b"<html>sign in</html>", "MD5"),
    ],
)
def test_damaged_archives_are_named(
    data_dir: Path, files: PcamFiles, folder: Path, server: Any, spoil: Callable[[bytes], bytes], what: str
) -> None:
    (folder / X).unlink()
    (folder / f"{X}.gz").write_bytes(spoil((server.folder / f"{X}.gz").read_bytes()))
    with pytest.raises(DatasetError, match=rf"{X}.gz .*{what}.*Remove it"):
        load(data_dir, files)
    assert not (folder / X).exists()


def test_a_spoilt_download_is_not_kept(data_dir: Path, files: PcamFiles, server: Any) -> None:
    (server.folder / f"{X}.gz").write_bytes(b"<html>sign in</html>")
    with pytest.raises(DatasetError, match=rf"cannot download .*{X}.gz.*put {X}.gz into"):
        load(data_dir, files, download=True)
    assert list((data_dir / "pcam").iterdir()) == []


def linked(path: Path, link: object) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = link


def virtual(path: Path) -> None:
    layout = h5py.VirtualLayout((20, 96, 96, 3), np.uint8)
    layout[:] = h5py.VirtualSource("other.h5", "x", (20, 96, 96, 3))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("x", layout)


def external(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (20, 96, 96, 3), np.uint8, external=[("other.raw", 0, h5py.h5f.UNLIMITED)])


def as_group(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("x")


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1000]), "cannot be opened: .*truncated"),
        (lambda path: path.write_bytes(b""), "cannot be opened"),
        (lambda path: path.write_bytes(b"<html>"), "cannot be opened"),
        (lambda path: write(path, "y", arrays("train")[1]), "holds 'y', and no 'x'"),
        (lambda path: write(path, "x", arrays("train")[0][:19]), r"shape \(19, 96, 96, 3\), not uint8 \(20, 96"),
        (lambda path: write(path, "x", arrays("train")[0].transpose(0, 3, 1, 2)), r"shape \(20, 3, 96, 96\)"),
        (lambda path: write(path, "x", arrays("train")[0].astype(np.float32)), "type float32"),
        (lambda path: linked(path, h5py.ExternalLink("other.h5", "x")), "no array of the file's own"),
        (lambda path: linked(path, h5py.SoftLink("/nowhere")), "no 'x'|no array of the file's own"),
        (virtual, "no array of the file's own"),
        (external, "no array of the file's own"),
        (as_group, "no array of the file's own"),
    ],
)
def test_damaged_and_mislabelled_images_are_named(
    data_dir: Path, files: PcamFiles, folder: Path, spoil: Callable[[Path], object], what: str
) -> None:
    spoil(folder / X)
    with pytest.raises(DatasetError, match=what) as caught:
        load(data_dir, files)
    assert str(folder / X) in str(caught.value)
    assert "Remove it" in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        (np.full((20, 1, 1, 1), 2, np.uint8), "holds the label 2 at position 0"),
        (arrays("train")[1][:-1], r"shape \(19, 1, 1, 1\), not uint8 \(20, 1, 1, 1\)"),
        (arrays("train")[1].reshape(20), r"shape \(20,\)"),
    ],
)
def test_mislabelled_labels_are_named(
    data_dir: Path, files: PcamFiles, folder: Path, labels: np.ndarray, what: str
) -> None:
    write(folder / Y, "y", labels)
    with pytest.raises(DatasetError, match=rf"{Y} .*{what}"):
        load(data_dir, files)


def test_exchanged_files_are_noticed(data_dir: Path, files: PcamFiles, folder: Path) -> None:
    (folder / X).write_bytes((folder / X.replace("train", "valid")).read_bytes())
    with pytest.raises(DatasetError, match=rf"{X} .*shape \(7, 96, 96, 3\)"):
        load(data_dir, files)


def test_damage_within_the_images_is_noticed_when_it_is_read(data_dir: Path, files: PcamFiles, folder: Path) -> None:
    path = folder / X
    with h5py.File(path) as file:
        place = file["x"].id.get_chunk_info(4).byte_offset
    content = bytearray(path.read_bytes())
    content[place : place + 5000] = bytes(5000)
    path.write_bytes(content)
    splits = load(data_dir, files)
    splits.train[0]
    with pytest.raises(DatasetError, match=rf"{X} .*x\[8\] cannot be read.*Remove it"):
        splits.train[8]


def test_there_is_one_protocol_and_no_seed(data_dir: Path, files: PcamFiles) -> None:
    with pytest.raises(ValueError, match=r"`protocol` \(='paper'\) has no meaning for pcam.*take 'validation'"):
        load_dataset("pcam", data_dir, protocol="paper")
    with pytest.raises(ValueError, match=r"`seed` \(=1\) has no effect"):
        load(data_dir, files, seed=1)


def test_names_checksums_and_places_are_torchvisions() -> None:
    from torchvision.datasets import PCAM as TORCHVISION

    for ours, theirs in (("train", "train"), ("valid", "val"), ("test", "test")):
        images, labels, _ = PCAM.parts[ours]
        listed = TORCHVISION._FILES[theirs]
        assert (images.name, images.drive, images.md5) == listed["images"]
        assert (labels.name, labels.drive, labels.md5) == listed["targets"]


def test_the_recipe_trains_on_the_files_with_several_workers(
    data_dir: Path, files: PcamFiles, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = replace(DATASETS["pcam"], load=lambda request: load_pcam(request, files))
    monkeypatch.setitem(DATASETS, "pcam", entry)
    config = load_recipe(
        "pcam",
        {
            "model": {"name": "alpha_f_p4_densenet", "channels": 2},
            "dataset.dir": str(data_dir),
            "dataset.augmentation": "flip-crop",
            "epochs": 1,
            "batch_size": 10,
            "accelerator": "cpu",
        },
    )
    assert (config.workers, config.schedule.name) == (2, "plateau")
    result = train(config, tmp_path / "run")
    assert result is not None
    assert (result.dataset, result.test_images, result.protocol) == ("pcam", 5, "validation")
