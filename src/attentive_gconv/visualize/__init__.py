"""Visualization of attention: attention maps, explanations, figures, and an interactive page.

    reduction, collect    `attention_maps`, `collect_attention`: the attention maps of every attentive module, by name
    explanation           `explain`: the product of all layers, with its poses
    turning               an image in all poses of a group, and in a full turn: the equivariance error of its map
    orientation, attention_figures, animation   how that is shown
    page                  the page of `agconv demo`

The first two need torch alone.
"""

from attentive_gconv.visualize.collect import attention_maps, collect_attention
from attentive_gconv.visualize.explanation import Explanation, aggregate, explain

__all__ = ["Explanation", "aggregate", "attention_maps", "collect_attention", "explain"]
