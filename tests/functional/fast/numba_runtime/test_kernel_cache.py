"""Kernels on disk: a key of everything that they depend on, no damage taken for code, no traceback without a disk."""

import ast
import errno
import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from attentive_gconv.functional.fast.numba_runtime import kernel_cache
from attentive_gconv.functional.fast.numba_runtime.jit import in_order

digest = kernel_cache.toolchain_digest.__wrapped__


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder, and no warning said yet."""
    said = (kernel_cache._say_that_a_file_is_damaged, kernel_cache._say_that_a_file_is_foreign)
    once = (kernel_cache.cache_folder, kernel_cache._say_that_nothing_is_kept, *said)
    monkeypatch.setattr(kernel_cache.config, "CACHE_DIR", str(tmp_path / "cache"))
    for said in once:
        said.cache_clear()
    yield tmp_path / "cache"
    for said in once:
        said.cache_clear()


def double(x: Any) -> Any:
    return x + x


def kernel() -> Any:
    """A kernel as a new process has it: not yet compiled."""
    return in_order(double)


def loaded(compiled: Any) -> bool:
    """Whether it came from disk."""
    return sum(compiled.stats.cache_hits.values()) == 1


def test_a_kernel_is_compiled_once(folder: Path) -> None:
    first, second = kernel(), kernel()
    assert first(2.5) == second(2.5) == 5
    assert (loaded(first), loaded(second)) == (False, True)
    assert len(list(folder.iterdir())) == 1
    assert second(np.float32(1)) == 2
    assert len(list(folder.iterdir())) == 2


def test_the_digest_sees_every_source(tmp_path: Path) -> None:
    sources = Path(
        shutil.copytree(kernel_cache.SOURCES, tmp_path / "fast", ignore=shutil.ignore_patterns("__pycache__"))
    )
    files = sorted(sources.rglob("*.py"))
    seen = {digest(sources)}
    assert len(files) > 20
    for file in files:
        file.write_bytes(file.read_bytes() + b"#")
        seen.add(digest(sources))
    assert len(seen) == len(files) + 1
    assert digest(tmp_path / "nothing") == ""


@pytest.mark.parametrize("package", [kernel_cache.numba, kernel_cache.llvmlite])
def test_the_digest_sees_the_compiler(package: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest()
    monkeypatch.setattr(package, "__version__", "0.0.1")
    assert digest() != before


def test_kernels_import_nothing_that_the_digest_does_not_see() -> None:
    compiled = [file for file in kernel_cache.SOURCES.rglob("*.py") if "numba_runtime.jit import" in file.read_text()]
    assert len(compiled) >= 6
    for file in compiled:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("attentive_gconv"):
                assert node.module.startswith("attentive_gconv.functional.fast."), f"{file.name}: {node.module}"


def test_machine_code_of_other_sources_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel()(2.5)
    monkeypatch.setattr(kernel_cache, "toolchain_digest", lambda: "another")
    changed = kernel()
    changed(2.5)
    assert not loaded(changed)


def test_the_key_holds_the_processor_and_the_signature() -> None:
    class Processor:
        def __init__(self, *features: str) -> None:
            self.features = features

        def magic_tuple(self) -> tuple[str, ...]:
            return self.features

    path = kernel_cache.KernelCache(double).path
    keys = [
        path(*key)
        for key in (("f8", Processor("zen4", "+avx")), ("f8", Processor("zen3", "+avx")), ("f8", Processor("zen4", "")))
    ]
    assert len({*keys, path("f4", Processor("zen4", "+avx"))}) == 4


@pytest.mark.parametrize(("setting", "value"), [("OPT", 1), ("BOUNDSCHECK", 1), ("LOOP_VECTORIZE", 0)])
def test_settings_of_the_compiler_are_part_of_the_key(
    setting: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel()(2.5)
    monkeypatch.setattr(kernel_cache.config, setting, value)
    changed = kernel()
    assert changed(2.5) == 5
    assert not loaded(changed)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX's owners of files")
@pytest.mark.parametrize("whose", ["another user's", "everybody's", "a link"])
def test_a_file_that_another_may_have_written_is_not_run(
    folder: Path, whose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel()(2.5)
    (file,) = folder.iterdir()
    if whose == "everybody's":
        file.chmod(0o666)
    elif whose == "another user's":
        real = os.fstat
        found = lambda descriptor: SimpleNamespace(st_uid=os.geteuid() + 1, st_mode=real(descriptor).st_mode)
        monkeypatch.setattr(kernel_cache, "os", SimpleNamespace(**{**vars(os), "fstat": found}))
    else:
        file.rename(folder / "elsewhere")
        file.symlink_to(folder / "elsewhere")
    again = kernel()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert again(2.5) == 5
    assert not loaded(again)
    assert [("everybody can write it" in str(warning.message)) for warning in said] == [True] * (whose != "a link")


def test_a_file_under_another_name_is_damaged(folder: Path) -> None:
    first = kernel()
    first(2.5), first(np.float32(1))
    one, other = folder.iterdir()
    one.write_bytes(other.read_bytes())
    other.write_bytes(one.read_bytes())
    again = kernel()
    with pytest.warns(RuntimeWarning, match="is damaged"):
        assert [again(2.5), again(np.float32(1))] == [5, 2]


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:5],
        lambda content: b"",
        lambda content: b"x" * len(content),
        *(lambda content, at=at: flipped(content, at % len(content)) for at in (0, 40, 333, 4321, -1)),
    ],
)
def test_a_damaged_file_is_compiled_again(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    kernel()(2.5)
    (file,) = folder.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    again = kernel()
    with pytest.warns(RuntimeWarning, match="is damaged; the kernel in it is compiled again") as said:
        assert again(2.5) == 5
    assert len(said) == 1
    assert not loaded(again)
    healed = kernel()
    healed(2.5)
    assert loaded(healed)


def test_a_full_disk_is_said_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kernel_cache, "write_atomically", full)
    compiled = kernel()
    with pytest.warns(RuntimeWarning, match="No space left on device; set NUMBA_CACHE_DIR") as said:
        assert [compiled(2.5), compiled(np.float32(1))] == [5, 2]
    assert len(said) == 1


def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every folder is below a file, where nobody can write, not even root."""
    (file := tmp_path / "file").write_text("")
    monkeypatch.setattr(kernel_cache.config, "CACHE_DIR", str(file / "cache"))
    monkeypatch.setattr(kernel_cache, "SOURCES", file / "package")
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))


def test_without_a_writable_folder_kernels_are_compiled_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere(tmp_path, monkeypatch)
    compiled = kernel()
    with pytest.warns(RuntimeWarning, match="are not kept on disk.*can be written; set NUMBA_CACHE_DIR") as said:
        assert [compiled(2.5), compiled(np.float32(1))] == [5, 2]
    assert len(said) == 1
    assert compiled.stats.cache_path is None


def test_the_next_folder_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere(tmp_path, monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    kernel()(2.5)
    assert len(list((tmp_path / "user" / "numba").iterdir())) == 1


def test_no_folder_named_tilde_is_made_for_a_user_without_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere(tmp_path, monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", "~nobody/cache")
    monkeypatch.chdir(tmp_path)
    with pytest.warns(RuntimeWarning, match="are not kept on disk"):
        kernel()(2.5)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


STEP = """
import warnings, torch, attentive_gconv as ag
layers = [ag.nn.AttentiveGroupConv2d("p4", 2, 2, 3), ag.nn.InputAttentiveGroupConv2d("p4", 2, 2, 3)]
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    for layer in layers * 2:
        x = torch.randn(1, 2, 4, 5, 5, requires_grad=True)
        layer(x).square().sum().backward()
        assert x.grad.isfinite().all() and x.grad.any()
for warning in said:
    print(warning.category.__name__, warning.message)
from attentive_gconv.functional.fast.dispatch import available_backends
print(available_backends()["numba"])
try:
    layers[0].configure(backend="numba")
    layers[0](x)
except ImportError as error:
    print(error)
"""


def run(script: str, *path: Path, **variables: str) -> list[str]:
    """The lines that a script prints in a new process."""
    import attentive_gconv

    places = [*path, Path(attentive_gconv.__file__).parents[1]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places)), **variables}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("raise ImportError('Numba needs NumPy 2.3 or less')", "ImportError: Numba needs NumPy 2.3 or less"),
        ("raise SystemError('initialization of _internal failed')", "SystemError: initialization of _internal failed"),
        ("__version__ = '0.1'", "ImportError: cannot import name"),
    ],
)
def test_a_numba_that_cannot_be_imported_is_done_without(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text(content)
    warning, available, refusal = run(STEP, tmp_path)
    assert warning.startswith("RuntimeWarning attention runs on its pure-PyTorch fallback")
    assert reason in warning
    assert available == "False"
    assert refusal.startswith(f"`backend` (='numba') cannot be imported: {reason}")


def test_a_numba_that_compiles_nothing_is_done_without() -> None:
    warning, available, refusal = run(STEP, NUMBA_DISABLE_JIT="1")
    assert "NUMBA_DISABLE_JIT is set" in warning
    assert available == "False"
    assert "NUMBA_DISABLE_JIT is set" in refusal


@pytest.mark.slow
def test_layers_without_a_writable_folder(tmp_path: Path) -> None:
    (file := tmp_path / "file").write_text("")
    script = f"""
from pathlib import Path
from attentive_gconv.functional.fast.numba_runtime import kernel_cache
kernel_cache.SOURCES = Path({str(file)!r}) / "package"
{STEP}"""
    warning, available = run(script, NUMBA_CACHE_DIR=str(file / "cache"), XDG_CACHE_HOME=str(file))
    assert warning.startswith("RuntimeWarning compiled kernels are not kept on disk")
    assert available == "True"


def test_nothing_is_said_where_all_is_well() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kernel()(2.5) == 5


def test_files_of_other_sources_that_nobody_reads_are_removed(tmp_path):
    now = time.time()
    ours, others = "a" * 16, "b" * 16
    names = {
        f"kernel.{ours}.{'1' * 40}.kernel": 40,  # of this toolchain
        f"kernel.{others}.{'1' * 40}.kernel": 40,
        f"kernel.{others}.{'2' * 40}.kernel": 20,
        "gauss.kernel": 40,  # somebody else's
        "other.txt": 40,
    }
    for name, days in names.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (now - days * kernel_cache.DAY,) * 2)
    kernel_cache.remove_stale_files(tmp_path, "a" * 64)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "gauss.kernel",
        f"kernel.{ours}.{'1' * 40}.kernel",
        f"kernel.{others}.{'2' * 40}.kernel",
        "other.txt",
    ]


def test_a_file_that_is_read_counts_as_new(tmp_path):
    path = tmp_path / "a.kernel"
    path.touch()
    os.utime(path, (0, 0))
    kernel_cache._mark_as_read(path)
    assert time.time() - path.stat().st_mtime < 60


def test_compiling_is_announced_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    kernel_cache._say_that_kernels_are_compiled.cache_clear()
    for _ in range(2):
        kernel()(2.5)
    kernel()(np.float32(1))
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("attentive_gconv", "WARNING")
    assert f"the first calls take up to a minute in all; they are kept in {folder}" in record.getMessage()
    caplog.clear()
    kernel_cache._say_that_kernels_are_compiled.cache_clear()
    kernel()(2.5)
    assert not caplog.records  # it comes from the disk
