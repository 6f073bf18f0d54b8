"""The public names are listed in public_names.txt, so that a removal or an addition is a visible decision.

After such a decision, ``python tests/test_public_names.py`` writes the list anew.
"""

import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import attentive_gconv as ag

CORE = ["attentive_gconv", *(f"attentive_gconv.{part}" for part in ("functional", "groups", "models", "nn", "testing"))]
LIST = Path(__file__).with_name("public_names.txt")


def public_names() -> list[str]:
    """What ``__all__`` of the package and of its parts holds, one level deep."""
    names = [f"attentive_gconv.{name}" for name in ag.__all__]
    for part in pkgutil.iter_modules(ag.__path__, "attentive_gconv."):
        if not part.name.rpartition(".")[2].startswith("_"):
            names += [f"{part.name}.{name}" for name in getattr(importlib.import_module(part.name), "__all__", ())]
    return sorted(names)


def test_public_names_are_those_listed():
    listed, actual = set(LIST.read_text(encoding="utf-8").split()), set(public_names())
    how = f"if that is meant, run `python tests/{Path(__file__).name}`"
    assert not listed - actual, f"public names are gone: {sorted(listed - actual)}; {how}"
    assert not actual - listed, f"public names are new: {sorted(actual - listed)}; {how}"


def test_names_of_the_core_exist_and_are_documented():
    for name in LIST.read_text(encoding="utf-8").split():
        part, _, attribute = name.rpartition(".")
        if part in CORE:
            value = getattr(importlib.import_module(part), attribute)
            assert value.__doc__ or not callable(value), f"{name} has no docstring"


# what the core must do without: everything that comes with an extra
EXTRAS = [
    *("torchvision", "lightning", "pytorch_lightning", "torchmetrics", "typer", "click", "rich", "yaml", "matplotlib"),
    *("safetensors", "tensorboard", "sklearn", "PIL", "numba", "triton", "h5py", "gradio", "hypothesis", "timm"),
    *("onnx", "onnxscript", "onnxruntime", "scipy", "filelock", "pooch", "platformdirs", "elpv_dataset"),
]


def imported_by(code: str) -> set[str]:
    """The top-level packages that a fresh interpreter holds after this code."""
    report = "import sys, json; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    run = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout))


def test_import_needs_torch_and_numpy_alone():
    everything = "import attentive_gconv as ag\nfor name in ag.__all__: getattr(ag, name)"
    brought = imported_by(everything) - imported_by("import torch, numpy")
    assert brought.isdisjoint(EXTRAS), sorted(brought & set(EXTRAS))
    third_party = brought - set(sys.stdlib_module_names) - {"attentive_gconv"}
    assert third_party == set()


def test_core_works_with_the_extras_missing():
    """Not only the import: a model is made, checked and run where none of the extras can be imported."""
    code = f"""
import sys
for name in {EXTRAS!r}:
    if name not in ("triton",):  # torch itself looks for it
        sys.modules[name] = None
import torch, attentive_gconv as ag
model = ag.create_model("alpha_f_p4cnn")
ag.testing.assert_equivariant(model, "p4", torch.randn(1, 1, 28, 28), tolerance=1e-3)
assert ag.create_model("alpha_p4cnn").eval()(torch.randn(1, 1, 28, 28)).shape == (1, 10)
"""
    assert "attentive_gconv" in imported_by(code)


if __name__ == "__main__":
    LIST.write_text("\n".join(public_names()) + "\n", encoding="utf-8")
