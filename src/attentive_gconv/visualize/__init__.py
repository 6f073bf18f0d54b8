"""Visualization of attention: attention maps, explanations, figures, and an interactive page.

    reduction, collect    `attention_maps`, `collect_attention`: the attention maps of every attentive module, by name
    explanation           `explain`: the product of all layers' maps, for each pose
    turning               an image in all poses of a group and in a full turn, with the equivariance error of its map
    display, attention_figures, animation   figures of these
    page                  the page of `agconv demo`

The first three need torch alone.
"""

from attentive_gconv.visualize.collect import attention_maps, collect_attention
from attentive_gconv.visualize.explanation import Explanation, aggregate, explain

__all__ = ["Explanation", "aggregate", "attention_maps", "collect_attention", "explain"]
