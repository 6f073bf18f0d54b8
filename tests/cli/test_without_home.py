"""The commands as a user without a home, from an installation that nobody may write to, such as a container's."""

import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

import attentive_gconv

# the superuser may write everywhere, unless that right is dropped
DROP = ["setpriv", "--bounding-set", "-dac_override", "--inh-caps", "-dac_override"]
KEPT = ("PATH", "OMP_NUM_THREADS", "SYSTEMROOT", "LD_LIBRARY_PATH")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has no such rights"),
    pytest.mark.skipif(
        hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which(DROP[0]) is None, reason="needs setpriv for root"
    ),
]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a copy of the package, which cannot be written to."""
    place = tmp_path_factory.mktemp("installed")
    source = Path(attentive_gconv.__file__).parent
    shutil.copytree(source, place / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    folders = [place, *(path for path in place.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    yield place
    for folder in folders:
        folder.chmod(0o755)


@pytest.fixture
def start(package: Path, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a command in an empty folder, without a home."""
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment |= {"PYTHONPATH": str(package), "TMPDIR": str(tmp_path)}
    prefix = DROP if os.geteuid() == 0 else []

    def start(*arguments: object) -> "subprocess.Popen[str]":
        command = [*prefix, sys.executable, "-m", "attentive_gconv", *map(str, arguments)]
        return subprocess.Popen(
            command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return start


@pytest.fixture
def agconv(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., str]:
    """Runs a command to its end; what it printed."""

    def run(*arguments: object) -> str:
        process = start(*arguments)
        said, complained = process.communicate(timeout=240)
        assert process.returncode == 0, complained
        assert "Traceback" not in complained
        return said

    return run


def test_the_package_cannot_be_written_to(package: Path) -> None:
    code = f"open({str(package / 'attentive_gconv' / 'x')!r}, 'w')"
    prefix = DROP if os.geteuid() == 0 else []
    done = subprocess.run([*prefix, sys.executable, "-c", code], capture_output=True, text=True)
    assert "PermissionError" in done.stderr


def test_predict_and_explain(agconv: Callable[..., str], tmp_path: Path) -> None:
    image = tmp_path / "line.png"
    picture = Image.new("L", (28, 28))
    ImageDraw.Draw(picture).line((14, 4, 14, 24), fill=255, width=3)
    picture.save(image)
    assert "%" in agconv("predict", image)
    agconv("explain", image, "--no-animation", "--out", tmp_path / "explained")
    assert list((tmp_path / "explained").rglob("*.png"))


def test_train_and_evaluate(agconv: Callable[..., str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    agconv("train", "digits", "--model", "p4cnn", "--set", "model.channels=2", "--epochs", 1, "--out", run)
    assert "error" in agconv("evaluate", run, "--limit", 20)


def test_demo(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("demo")
    assert process.stdout is not None
    try:
        said = ""
        while not (found := re.search(r"http://[\w.]+:\d+\S*", said)):
            line = process.stdout.readline()
            assert line, process.communicate()
            said += line
        with urllib.request.urlopen(found[0], timeout=60) as answer:
            assert answer.status == 200
    finally:
        process.terminate()
        process.communicate(timeout=60)
