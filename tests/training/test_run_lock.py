"""One process at a time in a run folder; what a killed one leaves is in nobody's way."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from attentive_gconv.checkpoints.run_files import LOCK
from attentive_gconv.training import RunFolder, RunFolderError, resume, train
from attentive_gconv.training.run_lock import locked
from tiny import PowerCut, tiny_config

HOLD = """
import sys, time
from pathlib import Path
from attentive_gconv.training.run_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder of a run that was broken off."""
    folder = tmp_path / "run"
    folder.mkdir()
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield folder, process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_folder_that_another_process_holds_is_refused_until_that_is_dead(tiny, holder):
    folder, process = holder
    with pytest.raises(RunFolderError, match=f"another process trains in {folder}: wait .* or give another --out"):
        train(tiny_config(epochs=1), folder)
    assert [path.name for path in folder.iterdir()] == [LOCK]
    RunFolder(folder).write_config(tiny_config(epochs=1))
    with pytest.raises(RunFolderError, match="another process trains in"):
        resume(folder)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert resume(folder).epochs == 1


def test_two_trainings_in_one_process_do_not_share_a_folder(tiny, tmp_path):
    with locked(tmp_path), pytest.raises(RunFolderError, match="another process trains in"):
        train(tiny_config(epochs=1), tmp_path)


def test_leftovers_of_a_start_that_was_killed_are_removed(tiny, tmp_path):
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    shutil.rmtree(folder / "checkpoints")
    orphan = folder / ".0123456789abcdef.partial.yaml"
    orphan.write_text("half")
    (folder / LOCK).touch()
    with pytest.raises(RunFolderError, match=r"nothing was trained in it, start it again without --resume"):
        resume(folder)
    train(tiny_config(epochs=1), folder)
    assert not orphan.exists()
    other = folder / "checkpoints" / ".0123456789abcdef.partial.ckpt"
    other.write_text("half")
    resume(folder, {"epochs": 2})
    assert not other.exists()


def test_notes_of_the_users_own_are_no_leftovers(tiny, tmp_path):
    (tmp_path / "notes.partial.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="not empty"):
        train(tiny_config(), tmp_path)


def test_a_failed_run_lets_go_of_its_folder(tiny, tmp_path):
    tiny.fail_after(30)
    with pytest.raises(PowerCut):
        train(tiny_config(), tmp_path / "run")
    tiny.fail_after(None)
    resume(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that can be handled")
def test_sigterm_ends_with_its_status_and_the_way_to_continue(tmp_path):
    """Before: status 0 and no word, so that `agconv train && agconv evaluate` went on."""
    folder = tmp_path / "a run"
    settings = ["--set", "model.channels=2", "--epochs", "100000", "--set", "accelerator=cpu"]
    command = [sys.executable, "-m", "attentive_gconv", "train", "digits", "--model", "p4cnn", *settings]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([*command, "--out", str(folder)], stdout=log, stderr=log, env=environment)
        try:
            deadline = time.monotonic() + 300
            while not (folder / "metrics.csv").exists() and time.monotonic() < deadline:
                assert process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.1)
            process.terminate()
            assert process.wait(timeout=120) == 128 + signal.SIGTERM
        finally:
            process.kill()
            process.wait()
    printed = Path(tmp_path / "log").read_text()
    assert f"stopped; continue with: agconv train --resume --out '{folder}'" in printed
    assert "Traceback" not in printed
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.skipif(os.name == "nt", reason="Windows has no symbolic links for everybody")
def test_a_link_for_a_lock_is_refused(tmp_path):
    """Earlier versions of filelock emptied the file that it points to."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(RunFolderError, match="is a symbolic link"), locked(tmp_path / "run"):
        pass
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def acquire(self: FileLock) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with pytest.raises(RunFolderError, match=r"has no locks .*: give --out on another"), locked(tmp_path):
        pass
