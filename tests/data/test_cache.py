import os
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from attentive_gconv.data import load_dataset
from attentive_gconv.data.cache import Arrays, CacheEntry, cache_dir, load_or_build

ENTRY = CacheEntry("noise", {"seed": 0}, {"images": ("<f4", (5, 3)), "labels": ("|u1", (5,))})


def build() -> Arrays:
    random = np.random.default_rng(0)
    return {"images": random.random((5, 3), np.float32), "labels": np.arange(5, dtype=np.uint8)}


def never() -> Arrays:
    pytest.fail("it was made again")


def assert_same(found: Arrays, wanted: Arrays) -> None:
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)


def test_made_once_then_read_to_the_last_bit() -> None:
    made, path = load_or_build(ENTRY, build)
    assert path == ENTRY.path
    found, again = load_or_build(ENTRY, never)
    assert again == path
    assert_same(made, build())
    assert_same(found, build())
    found["images"] += 1  # what is read can be standardised in place
    assert os.listdir(ENTRY.path.parent) == [ENTRY.path.name]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"made_from": {"seed": 1}},
        {"layout": {"images": ("<f4", (5, 4)), "labels": ("|u1", (5,))}},
        {"layout": {"images": ("<f8", (5, 3)), "labels": ("|u1", (5,))}},
    ],
)
def test_whatever_decides_the_content_decides_the_name(change: dict) -> None:
    assert replace(ENTRY, **change).path != ENTRY.path


def test_every_damaged_byte_is_noticed_or_harmless(caplog: pytest.LogCaptureFixture) -> None:
    _, path = load_or_build(ENTRY, build)
    assert path
    whole = path.read_bytes()
    noticed = 0
    for position in range(len(whole)):
        spoilt = bytearray(whole)
        spoilt[position] ^= 0xFF
        path.write_bytes(spoilt)
        caplog.clear()
        found, _ = load_or_build(ENTRY, build)
        assert_same(found, build())
        if caplog.records:
            noticed += 1
            assert str(path) in caplog.text
            assert "damaged" in caplog.text
    # the rest are time stamps and the like
    assert noticed > len(whole) / 2


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_truncated_file_is_made_again(kept: int, caplog: pytest.LogCaptureFixture) -> None:
    _, path = load_or_build(ENTRY, build)
    assert path
    whole = path.read_bytes()
    path.write_bytes(whole[:kept])
    found, _ = load_or_build(ENTRY, build)
    assert_same(found, build())
    assert "damaged" in caplog.text
    caplog.clear()
    load_or_build(ENTRY, never)
    assert not caplog.records


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ({"images": build()["images"]}, r"it holds \['images.npy'\]"),
        ({**build(), "more": np.zeros(1)}, "more.npy"),
        ({**build(), "images": np.zeros((5, 4), np.float32)}, "shape"),
        ({**build(), "labels": np.zeros(5, np.int64)}, "int64"),
        ({**build(), "labels": np.array([None] * 5, dtype=object)}, "type object"),
        ({**build(), "images": np.asfortranarray(build()["images"])}, "shape"),
    ],
)
def test_a_file_of_another_layout_is_made_again(arrays: Arrays, what: str, caplog: pytest.LogCaptureFixture) -> None:
    ENTRY.path.parent.mkdir(parents=True)
    with ENTRY.path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    found, _ = load_or_build(ENTRY, build)
    assert_same(found, build())
    assert re.search(what, caplog.text)


def test_no_more_is_unpacked_than_expected(caplog: pytest.LogCaptureFixture) -> None:
    load_or_build(ENTRY, build)
    with zipfile.ZipFile(ENTRY.path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["images.npy"] += bytes(10_000_000)
    with zipfile.ZipFile(ENTRY.path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    found, _ = load_or_build(ENTRY, build)
    assert_same(found, build())
    assert "images has 61 bytes, not 60" in caplog.text


def test_an_interrupted_making_leaves_nothing() -> None:
    def interrupted() -> Arrays:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_or_build(ENTRY, interrupted)
    assert not ENTRY.path.exists()


def test_an_interrupted_writing_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def half(path: Path, **_: np.ndarray) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", half)
    with pytest.raises(KeyboardInterrupt):
        load_or_build(ENTRY, build)
    assert os.listdir(ENTRY.path.parent) == []


def test_a_folder_that_cannot_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AGCONV_CACHE_DIR", str(tmp_path / "file" / "cache"))
    arrays, path = load_or_build(ENTRY, build)
    assert path is None
    assert_same(arrays, build())
    assert "set AGCONV_CACHE_DIR" in caplog.text


def test_arrays_of_another_layout_are_a_bug() -> None:
    with pytest.raises(AssertionError, match="noise"):
        load_or_build(ENTRY, lambda: {"images": np.zeros(1)})


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGCONV_CACHE_DIR", str(tmp_path / "chosen"))
    assert cache_dir() == tmp_path / "chosen"
    monkeypatch.delenv("AGCONV_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "attentive_gconv"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "attentive_gconv"


def test_a_user_without_a_home_keeps_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("AGCONV_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(OSError, match="no home folder to keep files in: set AGCONV_CACHE_DIR"):
        cache_dir()
    arrays, path = load_or_build(ENTRY, build)
    assert path is None
    assert_same(arrays, build())
    assert "set AGCONV_CACHE_DIR" in caplog.text
    assert len(load_dataset("digits").test) == 397
