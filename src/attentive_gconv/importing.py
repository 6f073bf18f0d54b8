"""Find classes by their import path, and import modules of the user for the command line.

Settings may come from untrusted files, so a setting never causes an import. A path must lead into PyTorch, torchvision,
or a module that the user has imported already (in Python, or with ``--import`` on the command line).
"""

import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from attentive_gconv.lookup import find
from attentive_gconv.settings import ConfigError

# names of the modules that `import_module` imported
_ON_PURPOSE: set[str] = set()


def import_module(name: str) -> None:
    """Import a module by its name, also from the current folder, or a ``.py`` file by its path.

    Raises:
        ConfigError: if there is none, it cannot be imported, or another module of that name is imported already.
    """
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        if name.endswith(".py"):
            _import_file(Path(name))
        else:
            importlib.import_module(name)
        _ON_PURPOSE.add(_module_name(name))
    except Exception as error:  # whatever the user's module raises
        raise ConfigError(
            f"--import {name} failed ({type(error).__name__}: {error}): give the name of a module or the path of a .py "
            "file that can be imported"
        ) from error


def is_imported(name: str) -> bool:
    """Whether a module, given by its name or its ``.py`` file, has been imported."""
    return _module_name(name) in sys.modules


def is_imported_on_purpose(module: str) -> bool:
    """Whether a module is the program itself, or `import_module` imported it or a package around it."""
    return module == "__main__" or any(module == name or module.startswith(f"{name}.") for name in _ON_PURPOSE)


def _module_name(name: str) -> str:
    return Path(name).stem if name.endswith(".py") else name


def _import_file(path: Path) -> None:
    if (other := sys.modules.get(path.stem)) is not None:
        found = getattr(other, "__file__", None)
        if found is not None and Path(found).resolve() == path.resolve():
            return
        origin = found or "Python itself"
        raise ImportError(f"a module named {path.stem!r} is imported already, from {origin}: rename the file")
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(specification)
    # worker processes that load images find it by its name
    sys.modules[path.stem] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise


def find_class(
    setting: str, path: str, *, within: str, suits: Callable[[Any], bool], names: Collection[str] = ()
) -> Any:
    """A class, or another callable, by its name in a module of PyTorch or torchvision, or by its import path.

    Args:
        setting: the setting that holds the path, for messages.
        path: a name, or a dotted path.
        within: the module of names without a dot; a dotted path leads there, or into a module that is imported already.
        suits: whether an object is of the wanted kind.
        names: further known names, for messages.

    Raises:
        ConfigError: if there is none; the message suggests the nearest name, or says what to import.

    Example:
        >>> import torch
        >>> optimizer = lambda found: isinstance(found, type) and issubclass(found, torch.optim.Optimizer)
        >>> find_class("optimizer.name", "AdamW", within="torch.optim", suits=optimizer).__name__
        'AdamW'
    """
    module_name, _, name = path.rpartition(".")
    module: Any = importlib.import_module(within)
    module_name = module_name or within
    if module_name == within:
        pass
    elif module_name in sys.modules and module_name.partition(".")[0] not in sys.stdlib_module_names:
        module = sys.modules[module_name]
    else:
        raise ConfigError(
            f"{setting} (={path!r}) is in a module that is not imported: add --import {module_name} (in Python, import "
            f"it first), or take a name of {within}"
        )
    found = getattr(module, name, None)
    if found is not None and suits(found):
        return found
    known = [*(names if module_name == within else ()), *_public(module, suits)]
    near = [other for other in known if other.lower() == name.lower() and other not in names]
    near = near or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(f"unknown {setting} {path!r}: {hint}Known in {module_name} are {', '.join(known) or 'none'}")


def _public(module: Any, suits: Callable[[Any], bool]) -> list[str]:
    return [name for name, value in vars(module).items() if not name.startswith("_") and suits(value)]


def check_arguments(
    section: str,
    target: Callable[..., Any],
    given: Mapping[str, Any],
    *,
    fixed: Collection[str],
    fields: Collection[str],
) -> None:
    """Refuse arguments that a class does not take.

    Args:
        section: the section of settings that holds them, for messages.
        target: the class.
        given: the arguments.
        fixed: arguments of the class that are set by other means.
        fields: the section's own fields, for messages.

    Raises:
        ValueError: if there is one; the message suggests the nearest name.
    """
    parameters = inspect.signature(target).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    known = [*fields, *(name for name in parameters if name not in fixed and name not in fields)]
    for name in given:
        find("field", f"{section}.{name}", {f"{section}.{other}": None for other in known})
