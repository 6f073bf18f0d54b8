import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attentive_gconv.data import DatasetError
from attentive_gconv.data.mnist import MNIST, MnistFiles, missing_files, pooled_digits

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


@pytest.fixture
def folder(data_dir: Path) -> Path:
    return data_dir / "mnist"


@pytest.fixture
def files(folder: Path, write_mnist: Callable[..., MnistFiles]) -> MnistFiles:
    return write_mnist(folder)


def read(folder: Path, files: MnistFiles) -> tuple[np.ndarray, np.ndarray]:
    return pooled_digits(folder, files, may_download=False)


def test_parts_are_pooled_in_order(folder: Path, files: MnistFiles) -> None:
    images, labels = read(folder, files)
    assert images.shape == (40, 28, 28)
    raw = gzip.decompress((folder / IMAGES).read_bytes())
    assert images[1].tobytes() == raw[16 + 784 : 16 + 2 * 784]
    assert labels.tolist() == [9, *(i % 10 for i in range(1, 30)), 9, *range(1, 10)]


def test_plain_files_do_as_well(folder: Path, files: MnistFiles) -> None:
    wanted = read(folder, files)
    for path in list(folder.iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert not missing_files(folder, files)
    for found, array in zip(read(folder, files), wanted, strict=True):
        assert np.array_equal(found, array)


def test_the_same_content_compressed_otherwise_does_as_well(folder: Path, files: MnistFiles) -> None:
    path = folder / IMAGES
    packed = path.read_bytes()
    path.write_bytes(gzip.compress(gzip.decompress(packed), compresslevel=1))
    assert path.read_bytes() != packed
    assert read(folder, files)[0].shape == (40, 28, 28)


def recompressed(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda packed: gzip.compress(change(gzip.decompress(packed)))


def one_bit(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    ("name", "spoil", "what"),
    [
        (IMAGES, lambda packed: packed[:-50], "cannot be decompressed"),
        (IMAGES, lambda packed: b"", "begins with"),
        (IMAGES, lambda packed: b"<html>not found</html>", "cannot be decompressed"),
        (IMAGES, lambda packed: packed[:200] + bytes(20) + packed[220:], "cannot be decompressed"),
        (IMAGES, recompressed(lambda content: content[:-1]), "23535 bytes, not 23536"),
        (IMAGES, recompressed(lambda content: content + bytes(10**7)), "more than 23536 bytes"),
        (IMAGES, recompressed(lambda content: b"\0\0\x0d\3" + content[4:]), r"begins with \(3331,"),
        (IMAGES, recompressed(lambda content: content[:7] + b"\x1f" + content[8:]), r"\(2051, 31, 28, 28\), not"),
        (IMAGES, recompressed(one_bit), "SHA-256"),
        (LABELS, recompressed(one_bit), "SHA-256"),
        (LABELS, recompressed(lambda content: content[:-1] + b"\x0a"), "label 10"),
    ],
)
def test_damaged_files(folder: Path, files: MnistFiles, name: str, spoil: Callable[[bytes], bytes], what: str) -> None:
    path = folder / name
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DatasetError, match=what) as caught:
        read(folder, files)
    assert str(path) in str(caught.value)
    assert "Remove it" in str(caught.value)


def test_exchanged_files(folder: Path, files: MnistFiles) -> None:
    (folder / IMAGES).write_bytes((folder / LABELS).read_bytes())
    with pytest.raises(DatasetError, match=rf"{IMAGES}.*begins with \(2049, 30, .*not \(2051, 30, 28, 28\)"):
        read(folder, files)


def test_missing_files_are_named(folder: Path, files: MnistFiles) -> None:
    (folder / LABELS).unlink()
    assert [file.name for file in missing_files(folder, files)] == [LABELS.removesuffix(".gz")]
    with pytest.raises(DatasetError, match=rf"lacks {LABELS}: put them there, or allow the download"):
        read(folder, files)


def test_download_goes_on_to_the_next_mirror(folder: Path, server: Any, write_mnist: Callable) -> None:
    files = write_mnist(server.folder)
    images, labels = pooled_digits(folder, files, may_download=True)
    assert len(images) == len(labels) == 40
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{file.name}.gz" for file in files)


def test_a_spoilt_download_is_not_kept(folder: Path, server: Any, write_mnist: Callable) -> None:
    files = write_mnist(server.folder)
    (server.folder / LABELS).write_bytes(b"<html>sign in</html>")
    with pytest.raises(DatasetError, match=rf"cannot download .*{LABELS}.*404.*corrupted.*put {LABELS} into"):
        pooled_digits(folder, files, may_download=True)
    assert [path.name for path in folder.iterdir()] == [IMAGES]


def test_checksums_and_counts_are_torchvisions() -> None:
    from torchvision.datasets import MNIST as TORCHVISION

    assert [(f"{file.name}.gz", file.md5) for file in MNIST] == TORCHVISION.resources
    assert MNIST.addresses(next(iter(MNIST))) == [f"{mirror}{IMAGES}" for mirror in TORCHVISION.mirrors]


def test_the_real_files(shared_data_dir: Path) -> None:
    images, labels = pooled_digits(shared_data_dir / "mnist", MNIST, may_download=False)
    assert images.shape == (70_000, 28, 28)
    # MNIST's published counts of the ten digits, training and test together
    assert np.bincount(labels).tolist() == [6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958]
