"""Atomic writes, and home folders that are not there."""

import os
import stat
from pathlib import Path

import pytest

from attentive_gconv.files import PARTIAL, atomic_path, expand_user, write_atomically


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.bin"
    write_atomically(target, b"old")

    def interrupted():
        with atomic_path(target) as partial:
            partial.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_file_and_folder_are_synced_around_the_rename(tmp_path, monkeypatch):
    events = []
    sync, replace = os.fsync, Path.replace

    def logged_sync(descriptor):
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        events.append(f"sync {kind}")
        sync(descriptor)

    def logged_replace(self, target):
        events.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", logged_sync)
    monkeypatch.setattr(Path, "replace", logged_replace)
    write_atomically(tmp_path / "new" / "a.txt", b"whole")
    assert events == ["sync file", "rename", "sync folder"]


def test_the_temporary_file_lies_beside_the_target_and_has_its_ending(tmp_path):
    with atomic_path(tmp_path / "maps.npz") as partial:
        partial.write_bytes(b"1")
        assert (partial.parent, partial.suffix) == (tmp_path, ".npz")
        assert partial.name.startswith(".")
        assert PARTIAL in partial.name


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.txt").symlink_to(tmp_path / "real" / "a.txt")
    write_atomically(tmp_path / "link.txt", b"whole")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real" / "a.txt").read_bytes() == b"whole"


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_not_replaced(tmp_path, kind):
    target = tmp_path / "there"
    target.mkdir() if kind == "folder" else os.mkfifo(target)
    with pytest.raises(OSError, match="not a regular file; give another name"):
        write_atomically(target, b"")
    assert not target.is_file()
    assert os.listdir(tmp_path) == ["there"]


def test_home_folders(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert expand_user("~/data") == Path("/home/me/data")
    with pytest.raises(ValueError, match=r"~nosuchuser/data: ~nosuchuser is not a home folder on this machine"):
        expand_user("~nosuchuser/data")
