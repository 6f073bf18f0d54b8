"""Docstrings with a single ``Example:`` section are read as those with ``Examples:``, whose code is shown as code."""

import re
from typing import Any

import griffe


class ExampleSections(griffe.Extension):
    """Rename the section before the docstring is parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change the text of the object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
