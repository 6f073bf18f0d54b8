"""Where a network looks: its attention maps, figures of them, and a page to play with.

    reduction, maps   `attention_maps`, `collect_attention`: what every attending module keeps, by module name
    aggregate         `explain`: the product of all layers, with its poses
    turning           an image in all poses of a group, and in a full turn: the equivariance error of its map
    look, figures, animation   how that is shown
    demo              the page

The first two need torch alone.
"""

import sys
from types import ModuleType
from typing import Any

from attentive_gconv.explain.aggregate import Explanation, aggregate, explain
from attentive_gconv.explain.maps import attention_maps, collect_attention

__all__ = ["Explanation", "aggregate", "attention_maps", "collect_attention", "explain"]


class _CallablePackage(ModuleType):
    """``attentive_gconv.explain`` is the function `explain`, and the name of this package.

    The import system, and tools that import by file name, may bind the package under that name after the function was:
    either can be called.
    """

    def __call__(self, *args: Any, **options: Any) -> Explanation:
        return explain(*args, **options)


sys.modules[__name__].__class__ = _CallablePackage
