import json
import os
import subprocess
import sys

import pytest

from attentive_gconv.bench import instructions
from attentive_gconv.bench.instructions import instructions_environment


def test_native_changes_nothing():
    assert instructions_environment("native") == {}


def test_without_avx512_no_library_may_use_it(monkeypatch):
    monkeypatch.setattr(instructions.platform, "machine", lambda: "x86_64")
    found = instructions_environment("avx2")
    assert (found["ONEDNN_MAX_CPU_ISA"], found["ATEN_CPU_CAPABILITY"]) == ("AVX2", "avx2")
    pytest.importorskip("llvmlite")
    assert "+avx512" not in found["NUMBA_CPU_FEATURES"]


@pytest.mark.skipif(instructions.platform.machine() != "x86_64", reason="an x86 processor")
def test_a_process_with_these_variables_keeps_to_them():
    pytest.importorskip("numba")
    code = (
        "import json, torch; from numba.core.registry import cpu_target; "
        "processor = cpu_target.target_context.codegen().magic_tuple(); "
        "print(json.dumps([torch.backends.cpu.get_cpu_capability(), processor]))"
    )
    given = {**os.environ, **instructions_environment("avx2")}
    said = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True).stdout
    capability, (_, _, features) = json.loads(said)
    assert capability in ("AVX2", "DEFAULT")
    assert "+avx512" not in features


def test_other_processors_and_unknown_sets_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="unknown instruction set 'avx3': did you mean 'avx2'"):
        instructions_environment("avx3")
    monkeypatch.setattr(instructions.platform, "machine", lambda: "arm64")
    with pytest.raises(ValueError, match="--instructions avx2 is for x86 processors, not arm64"):
        instructions_environment("avx2")
