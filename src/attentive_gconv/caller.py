"""The line outside the package that led here: where warnings point, however many layers lie between."""

import os
import sys
from pathlib import Path

_PACKAGE = f"{Path(__file__).parent}{os.sep}"


def stacklevel_of_caller() -> int:
    """The ``stacklevel`` with which `warnings.warn`, called beside this, points outside the package.

    Where everything is of the package, as in a process of its own, that of the outermost frame.
    """
    frame = sys._getframe(1)
    level = 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level
