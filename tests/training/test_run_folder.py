import json
import tempfile
from pathlib import Path

import pytest

from attentive_gconv.checkpoints.run_files import RunFolderError, read_json, write_record
from attentive_gconv.files import write_atomically, write_json
from attentive_gconv.training import resume, train
from attentive_gconv.training.run_folder import RunFolder
from tiny import tiny_config


def test_a_new_or_empty_folder_is_free(tmp_path):
    RunFolder(tmp_path / "new").require_free()
    RunFolder(tmp_path).require_free()


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="not empty: give another; nothing was changed"):
        RunFolder(tmp_path).require_free()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_run_is_refused_with_the_way_to_continue_it(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_config(tiny_config())
    with pytest.raises(RunFolderError, match="continue it with --resume"):
        folder.require_free()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="is a file"):
        RunFolder(tmp_path / "file").require_free()


def test_settings_are_read_back_equal(tmp_path):
    config = tiny_config(schedule={"name": "multistep", "milestones": [1, 2], "gamma": 0.3}, optimizer__lr=1e-7)
    folder = RunFolder(tmp_path)
    folder.write_config(config)
    assert folder.read_config() == config


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="there is no run folder"):
        RunFolder(tmp_path / "none").read_config()
    with pytest.raises(RunFolderError, match=r"is no run folder: it has no config\.yaml"):
        RunFolder(tmp_path).read_config()


def test_settings_that_are_refused_name_their_file(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_config(tiny_config())
    text = folder.config_file.read_text(encoding="utf-8")
    # a flipped bit makes a field of the comment that holds the digest
    folder.config_file.write_text(text.replace("\n# sha256", "\nc sha256"), encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"config\.yaml: unknown field 'c sha256"):
        folder.read_config()


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})

    def fail(self: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"half")
    assert json.loads(path.read_text()) == {"a": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": ', "is broken"),
        (b"\xff\xfe", "is broken"),
        (b"[1]", "one JSON object"),
        (b" " * 10_000_001, "larger than"),
    ],
)
def test_a_broken_file_is_named(tmp_path, content, message):
    path = tmp_path / "facts.json"
    path.write_bytes(content)
    with pytest.raises(RunFolderError, match=rf"facts\.json.*{message}"):
        read_json(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RunFolderError, match=r"facts\.json is missing"):
        read_json(tmp_path / "facts.json")


def test_values_that_json_does_not_have_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_no_flipped_bit_changes_a_record(tmp_path):
    """Before there was a digest, a flipped bit in result.json gave another test error."""
    path, content = tmp_path / "result.json", {"test_error": 0.0217, "model": "p4cnn", "epochs": 60, "valid": None}
    write_record(path, content)
    assert read_json(path) == content
    whole, accepted = path.read_bytes(), 0
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            found = read_json(path)
        except RunFolderError:
            continue
        accepted += 1
        assert {name: found[name] for name in content} == content
    assert accepted < len(whole)


def test_records_of_before_the_digest_are_read(tmp_path):
    write_json(tmp_path / "result.json", {"test_error": 0.0217})
    assert read_json(tmp_path / "result.json") == {"test_error": 0.0217}


def test_no_file_of_a_run_passes_through_the_temporary_folder(tiny, tmp_path, monkeypatch):
    """Which may be full, or another file system, from where no file can be moved into place at once."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    train(tiny_config(epochs=2, protocol="paper"), tmp_path / "run")
    resume(tmp_path / "run", {"epochs": 3})
    names = {path.name for path in (tmp_path / "run").rglob("*")}
    assert {"config.yaml", "result.json", "metrics.csv", "last.ckpt", "last.safetensors"} <= names
