"""Tiny files of the real formats, a server on this machine, and a cache folder of each test's own."""

import gzip
import hashlib
import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from attentive_gconv.data.mnist import IdxFile, MnistFiles
from attentive_gconv.data.rot_mnist import RotMnist
from attentive_gconv.data.rot_mnist_archive import AmatFile, Archive

TRAIN_ROWS, TEST_ROWS, HELD_OUT = 20, 15, 4


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees or fills the user's own cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("AGCONV_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@dataclass
class Server:
    address: str
    folder: Path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Serves a folder to this machine alone."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Server(f"http://127.0.0.1:{http.server_port}/", folder)
        http.shutdown()
        thread.join()


def idx_bytes(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    return header + values.astype(np.uint8).tobytes()


@pytest.fixture
def write_mnist(server: Server) -> Callable[[Path], MnistFiles]:
    """Writes tiny files like MNIST's into a folder and says what they are."""

    def write(folder: Path, worst_label: int = 9) -> MnistFiles:
        folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(0)
        parts = []
        for part, count in (("train", 30), ("t10k", 10)):
            images = np.zeros((count, 28, 28), np.uint8)
            images[:, 6:22, 8:20] = random.integers(1, 256, (count, 16, 12))
            labels = np.arange(count) % 10
            labels[0] = worst_label
            files = []
            for name, values in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
                content = idx_bytes(values)
                packed = gzip.compress(content)
                (folder / f"{name}.gz").write_bytes(packed)
                files.append(
                    IdxFile(
                        name, values.shape, hashlib.md5(packed).hexdigest(), sha256=hashlib.sha256(content).hexdigest()
                    )
                )
            parts.append((files[0], files[1]))
        return MnistFiles(tuple(parts), mirrors=(server.address + "missing/", server.address))

    return write


@dataclass
class TextFiles:
    """What an archive is made of; tests spoil it before it is packed."""

    train: np.ndarray
    test: np.ndarray
    train_name: str = "mnist_all_rotation_normalized_float_train_valid.amat"
    test_name: str = "mnist_all_rotation_normalized_float_test.amat"


def amat_rows(count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.hstack([random.random((count, 784)).round(6), (np.arange(count) % 10)[:, None]])


@pytest.fixture
def texts() -> TextFiles:
    return TextFiles(amat_rows(TRAIN_ROWS, 1), amat_rows(TEST_ROWS, 2))


@pytest.fixture
def pack(server: Server) -> Callable[[TextFiles, Path], Archive]:
    """Packs text files as the archive is packed, and says what they ought to be."""

    def write(texts: TextFiles, path: Path) -> Archive:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, rows in ((texts.train_name, texts.train), (texts.test_name, texts.test)):
                text = io.StringIO()
                np.savetxt(text, rows)
                opened.writestr(name, text.getvalue())
        return Archive(
            server.address + path.name,
            hashlib.md5(path.read_bytes()).hexdigest(),
            train=AmatFile(TextFiles.train_name, TRAIN_ROWS),
            test=AmatFile(TextFiles.test_name, TEST_ROWS),
        )

    return write


@pytest.fixture
def made_of(server: Server, texts: TextFiles, write_mnist: Callable, pack: Callable) -> RotMnist:
    """A tiny rot-MNIST whose files lie on the server alone."""
    return RotMnist(
        archive=pack(texts, server.folder / "rotated.zip"), mnist=write_mnist(server.folder), held_out=HELD_OUT
    )
