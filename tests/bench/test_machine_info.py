import json

import torch

from attentive_gconv.bench import machine_info
from attentive_gconv.functional.fast import dispatch
from attentive_gconv.functional.fast.dispatch import available_backends


def test_it_is_plain_and_says_what_is_there(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "7")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    facts = json.loads(json.dumps(machine_info.describe()))
    assert {name: backend["available"] for name, backend in facts["backends"].items()} == available_backends()
    assert facts["threads"]["torch"] == torch.get_num_threads()
    text = "\n".join(machine_info.lines(facts))
    assert "MALLOC_TRIM_THRESHOLD_=7" in text
    assert "OMP_NUM_THREADS 1" in text
    assert f"torch {facts['environment']['packages']['torch']}" in text
    assert '"auto" takes' in text


def test_a_missing_fast_backend_is_named_with_the_remedy(monkeypatch):
    dispatch.fastest_backend.cache_clear()
    monkeypatch.setattr(dispatch, "available_backends", lambda: {"numba": False, "torch": True})
    found = machine_info.chosen_backend("cpu")
    dispatch.fastest_backend.cache_clear()
    assert found["backend"] == "torch"
    assert "pip install 'attentive-gconv[fast]'" in found["advice"]


def test_it_says_from_which_size_on_convolutions_take_irreps():
    found = machine_info.convolution_forms()
    assert set(found) == {"p4", "p4m"}
    assert found["p4m"] <= found["p4"] <= 2**14
    text = "\n".join(machine_info.lines(machine_info.describe()))
    assert f"by irreps from {found['p4']} positions" in text
