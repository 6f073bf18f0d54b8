import sys
from pathlib import Path

import pytest
import torch

from attentive_gconv.bench import memory, worker
from attentive_gconv.bench.cases import Case
from attentive_gconv.bench.memory import Peak, page_faults, peak_memory
from attentive_gconv.functional.fast.irreps_conv import irreps_conv2d
from attentive_gconv.nn import conv

CPU = torch.device("cpu")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux
def test_a_known_tensor_is_seen_and_one_that_is_held_already_is_not():
    held = torch.ones(25_000_000)
    peak = peak_memory(lambda: torch.ones(50_000_000).sum(), CPU)
    assert peak.method == "VmHWM"
    # Linux counts resident pages by processor, and is some hundred kilobytes late
    assert 198e6 <= peak.bytes <= 230e6
    assert held[0] == 1
    # the mark is set back: what was freed before does not count
    assert peak_memory(lambda: torch.ones(5_000_000).sum(), CPU).bytes <= 50e6


def test_where_the_mark_cannot_be_set_back_the_whole_processs_is_taken(monkeypatch):
    monkeypatch.setattr(memory, "CLEAR", Path("/no/such/file"))
    peak = peak_memory(lambda: None, CPU)
    assert peak.method == "ru_maxrss"
    assert 0 <= peak.bytes < 50e6
    marks = iter([1_000, 5_000])
    monkeypatch.setattr(memory, "largest_resident", lambda: next(marks))
    assert peak_memory(lambda: None, CPU) == memory.Peak(4_000, "ru_maxrss")


def test_other_devices_are_refused():
    with pytest.raises(ValueError, match="--device meta: memory can be measured on cpu and cuda only"):
        peak_memory(lambda: None, torch.device("meta"))


@linux
def test_page_faults_are_counted():
    before = page_faults()
    torch.ones(10_000_000)
    assert page_faults() > before


def test_kernels_that_only_large_batches_take_are_loaded_before_memory_is_measured(monkeypatch):
    pytest.importorskip("numba")
    order = []

    def by_irreps(*arguments):
        order.append("irreps")
        return irreps_conv2d(*arguments)

    def measured(run, device):
        order.append("measured")
        return Peak(0, "none")

    monkeypatch.setattr(conv, "irreps_conv2d", by_irreps)
    monkeypatch.setattr(worker, "peak_memory", measured)
    worker.memory_of_case(Case("none", "group", batch=64, group="p4", channels=2, side=5), 1)
    worker.memory_of_case(Case("conv2d", "group", batch=64, group="p4", channels=2, side=5), 1)
    assert order == ["irreps", "measured", "measured"]
