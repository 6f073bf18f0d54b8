"""Lazy import of optional dependencies."""

import importlib
from types import ModuleType


def import_extra(module: str, purpose: str, extra: str = "train") -> ModuleType:
    """Import an optional dependency; the error says which extra installs it.

    Args:
        module: full name, e.g. ``"sklearn.datasets"``.
        purpose: what needs it, the beginning of the message.
        extra: the extra of this package that installs it.

    Raises:
        ImportError: if the module cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{purpose} needs {module} ({error}): pip install 'attentive-gconv[{extra}]'") from error
