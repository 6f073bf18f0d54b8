"""What some tests need from outside: skipped without it, unless an environment variable says that it must be there."""

import os
from typing import NoReturn

import pytest


def unavailable(what: str, switch: str) -> NoReturn:
    """Skip the test, or fail it where ``AGCONV_REQUIRE_<switch>=1`` is set."""
    variable = f"AGCONV_REQUIRE_{switch}"
    if required(switch):
        pytest.fail(f"needs {what}, and {variable} is set")
    pytest.skip(f"needs {what}")


def required(switch: str) -> bool:
    """Whether ``AGCONV_REQUIRE_<switch>=1`` is set."""
    return os.environ.get(f"AGCONV_REQUIRE_{switch}", "0") not in ("", "0")
