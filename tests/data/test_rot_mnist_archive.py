import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attentive_gconv.data import DatasetError
from attentive_gconv.data.rot_mnist_archive import ROT_MNIST_ARCHIVE, Archive, parsed_archive

FILE = "rotated.zip"


@pytest.fixture
def folder(data_dir: Path) -> Path:
    return data_dir / "rot-mnist"


def parse(folder: Path, archive: Archive) -> dict[str, np.ndarray]:
    return parsed_archive(folder, archive, may_download=False)


def test_rows_become_images(folder: Path, texts: Any, pack: Callable) -> None:
    arrays = parse(folder, pack(texts, folder / FILE))
    assert np.array_equal(arrays["train_images"], texts.train[:, :-1].reshape(-1, 28, 28).astype(np.float32))
    assert np.array_equal(arrays["test_images"], texts.test[:, :-1].reshape(-1, 28, 28).astype(np.float32))
    assert arrays["train_labels"].tolist() == texts.train[:, -1].tolist()
    assert arrays["test_labels"].tolist() == texts.test[:, -1].tolist()
    assert {array.dtype.str for array in arrays.values()} == {"<f4", "|u1"}


def test_files_in_a_folder_of_the_archive(folder: Path, texts: Any, pack: Callable) -> None:
    texts.train_name = f"mnist_rotation_new/{texts.train_name}"
    assert len(parse(folder, pack(texts, folder / FILE))["train_labels"]) == 20


def test_more_rows_than_are_read_at_once(
    folder: Path, texts: Any, pack: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attentive_gconv.data.rot_mnist_archive._ROWS_AT_ONCE", 6)
    arrays = parse(folder, pack(texts, folder / FILE))
    assert np.array_equal(arrays["train_images"].reshape(20, 784), texts.train[:, :-1].astype(np.float32))


def put(rows: np.ndarray, row: int, column: int, value: float) -> np.ndarray:
    rows = rows.copy()
    rows[row, column] = value
    return rows


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda rows: rows[:-1], "14 rows, not 15"),
        (lambda rows: np.vstack([rows, rows[:1]]), "more than 15 rows"),
        (lambda rows: rows[:, 1:], "784 values a row, not 785"),
        (lambda rows: put(rows, 3, 784, 10), "labels that are not among 0 to 9"),
        (lambda rows: put(rows, 3, 784, 2.5), "labels that are not among 0 to 9"),
        (lambda rows: put(rows, 14, 5, 2.0), r"rows 1 to 15: pixels outside \[0, 1\]"),
        (lambda rows: put(rows, 0, 0, np.nan), r"pixels outside \[0, 1\]"),
    ],
)
def test_spoilt_rows(folder: Path, texts: Any, pack: Callable, spoil: Callable, what: str) -> None:
    texts.test = spoil(texts.test)
    archive = pack(texts, folder / FILE)
    with pytest.raises(DatasetError, match=what) as caught:
        parse(folder, archive)
    assert str(folder / FILE) in str(caught.value)
    assert "Remove it to have it downloaded again" in str(caught.value)


def with_members(path: Path, archive: Archive, **members: str) -> Archive:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for part, text in members.items():
            opened.writestr(getattr(archive, part).name, text)
    return replace(archive, md5=hashlib.md5(path.read_bytes()).hexdigest())


@pytest.mark.parametrize(
    ("train", "what"),
    [
        ("0.5 0.5 0.5\n0.5 0.5\n", "rows 1 to 2: "),
        ("0.5 nonsense\n", "rows 1 to 1: "),
        ("0.5 \xfc\n", "rows 1 to 1: "),
        ("", "0 rows, not 20"),
        ("0 " * 10**6, "unpacks to 2000000 bytes, more than 20 rows can have"),
    ],
)
def test_text_that_is_no_table(folder: Path, texts: Any, pack: Callable, train: str, what: str) -> None:
    path = folder / FILE
    archive = with_members(path, pack(texts, path), train=train, test="")
    with pytest.raises(DatasetError, match=what):
        parse(folder, archive)


def test_a_missing_member(folder: Path, texts: Any, pack: Callable) -> None:
    path = folder / FILE
    archive = with_members(path, pack(texts, path), test="")
    with pytest.raises(DatasetError, match=f"holds 0 files named {archive.train.name}"):
        parse(folder, archive)


def test_the_checksum_comes_first(folder: Path, texts: Any, pack: Callable) -> None:
    archive = replace(pack(texts, folder / FILE), md5="0" * 32)
    with pytest.raises(DatasetError, match=f"{FILE}.*MD5 is .*, not 0000"):
        parse(folder, archive)


def test_no_zip_at_all(folder: Path, texts: Any, pack: Callable) -> None:
    path = folder / FILE
    archive = pack(texts, path)
    path.write_bytes(path.read_bytes()[:-30])
    archive = replace(archive, md5=hashlib.md5(path.read_bytes()).hexdigest())
    with pytest.raises(DatasetError, match="cannot be unpacked"):
        parse(folder, archive)


def test_download(folder: Path, texts: Any, pack: Callable, server: Any) -> None:
    archive = pack(texts, server.folder / FILE)
    arrays = parsed_archive(folder, archive, may_download=True)
    assert len(arrays["test_labels"]) == 15
    assert (folder / FILE).read_bytes() == (server.folder / FILE).read_bytes()
    assert [path.name for path in folder.iterdir()] == [FILE]
    (server.folder / FILE).unlink()
    parsed_archive(folder, archive, may_download=True)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda path: path.unlink(), "404"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "corrupted"),
        (lambda path: path.write_bytes(b""), "corrupted"),
    ],
)
def test_a_failed_download_leaves_nothing(
    folder: Path, texts: Any, pack: Callable, server: Any, spoil: Callable[[Path], None], what: str
) -> None:
    archive = pack(texts, server.folder / FILE)
    spoil(server.folder / FILE)
    with pytest.raises(DatasetError, match=rf"cannot download .*{FILE} \({archive.address}: .*{what}.*'remade'"):
        parsed_archive(folder, archive, may_download=True)
    assert list(folder.iterdir()) == []


def test_no_server(folder: Path, texts: Any, pack: Callable, server: Any) -> None:
    # port 9 of this machine: nobody listens there
    archive = replace(pack(texts, server.folder / FILE), address=f"http://127.0.0.1:9/{FILE}")
    with pytest.raises(DatasetError, match="cannot download"):
        parsed_archive(folder, archive, may_download=True)


def test_no_download_without_leave(folder: Path, texts: Any, pack: Callable, server: Any) -> None:
    archive = pack(texts, server.folder / FILE)
    with pytest.raises(DatasetError, match=f"{FILE} is missing, and downloads are not allowed.*'remade'"):
        parse(folder, archive)
    assert not folder.exists()


def test_the_real_archive_has_the_published_sizes() -> None:
    assert (ROT_MNIST_ARCHIVE.train.rows, ROT_MNIST_ARCHIVE.test.rows) == (12_000, 50_000)
    assert ROT_MNIST_ARCHIVE.file_name == "mnist_rotation_new.zip"
