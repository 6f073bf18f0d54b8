import pytest

from in_process import in_process, peer

__all__ = ["in_process", "peer"]


@pytest.fixture(autouse=True)
def _no_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "LD_PRELOAD", "MALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
