"""Classes by import path and modules of the user's: found, or refused with a remedy; no file's word is enough."""

import sys

import pytest
import torch

from attentive_gconv.importing import check_arguments, find_class, import_module, is_imported, is_imported_on_purpose
from attentive_gconv.settings import ConfigError


def optimizer(found):
    return isinstance(found, type) and issubclass(found, torch.optim.Optimizer)


def find(path):
    return find_class("optimizer.name", path, within="torch.optim", suits=optimizer, names=["adam"])


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in the present folder with an optimizer of the user's."""
    name = f"own_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(
        "import torch\nclass Lion(torch.optim.SGD):\n    pass\nclass Other:\n    pass\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield name
    sys.modules.pop(name, None)


def test_names_and_paths_of_pytorch():
    assert find("AdamW") is find("torch.optim.AdamW") is torch.optim.AdamW


@pytest.mark.parametrize("ending", ["", ".py"])
def test_a_module_of_the_present_folder(module, ending):
    with pytest.raises(
        ConfigError, match=rf"'{module}.Lion'\) is in a module that is not imported: add --import {module}"
    ):
        find(f"{module}.Lion")
    assert not is_imported(module + ending)
    import_module(module + ending)
    assert is_imported(module + ending)
    assert is_imported_on_purpose(module)
    assert find(f"{module}.Lion") is sys.modules[module].Lion
    with pytest.raises(ConfigError, match=rf"Known in {module} are Lion"):
        find(f"{module}.Other")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("adamw", r"unknown optimizer.name 'adamw': did you mean 'AdamW'\? Known in torch.optim are adam, "),
        ("os.system", "is in a module that is not imported"),
        ("subprocess.Popen", "is in a module that is not imported"),
        ("Optimizer.step", "is in a module that is not imported"),
        ("lr_scheduler", "unknown "),
    ],
)
def test_what_is_no_optimizer_is_refused(path, message):
    with pytest.raises(ConfigError, match=message):
        find(path)


@pytest.mark.parametrize("name", ["no_such_module", "no/such/file.py"])
def test_a_module_that_is_missing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"--import {name} failed"):
        import_module(name)


def test_a_module_that_fails_is_not_kept(tmp_path, monkeypatch):
    (tmp_path / "broken_module.py").write_text("raise KeyError('x')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"--import broken_module.py failed \(KeyError"):
        import_module("broken_module.py")
    assert "broken_module" not in sys.modules


def test_arguments():
    check_arguments("optimizer", torch.optim.Adam, {"betas": 1}, fixed=("params",), fields=("lr",))
    with pytest.raises(ValueError, match=r"unknown field 'optimizer.beta': did you mean 'optimizer.betas'"):
        check_arguments("optimizer", torch.optim.Adam, {"beta": 1}, fixed=("params",), fields=("lr",))
    with pytest.raises(ValueError, match=r"unknown field 'optimizer.params'"):
        check_arguments("optimizer", torch.optim.Adam, {"params": 1}, fixed=("params",), fields=("lr",))


def test_a_file_named_as_another_module_is_refused(tmp_path, monkeypatch):
    """It was not imported, and nothing was said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    (tmp_path / "copy.py").write_text("raise RuntimeError('imported')\n")
    with pytest.raises(ConfigError, match=r"a module named 'copy' is imported already, from .*copy\.py: rename"):
        import_module("copy.py")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same_name_twice.py").write_text("")
    try:
        import_module("a/same_name_twice.py")
        import_module("a/same_name_twice.py")
        with pytest.raises(ConfigError, match="'same_name_twice' is imported already"):
            import_module("b/same_name_twice.py")
    finally:
        sys.modules.pop("same_name_twice", None)
