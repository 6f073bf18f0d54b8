"""Where a network looks: its attention maps, figures of them, and a page to play with.

    reduction, maps   `attention_maps`, `collect_attention`: what every attending module keeps, by module name
    aggregate         `explain`: the product of all layers, with its poses

These need torch alone.
"""

from attentive_gconv.explain.aggregate import Explanation, aggregate, explain
from attentive_gconv.explain.maps import attention_maps, collect_attention

__all__ = ["Explanation", "aggregate", "attention_maps", "collect_attention", "explain"]
