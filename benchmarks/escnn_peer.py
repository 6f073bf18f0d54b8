"""escnn's group layers, for `benchmarks/compare.py`: another implementation of the same p4 and p4m layers.

    python benchmarks/compare.py --module escnn_peer:layer --layers none --groups p4,p4m --channels 32 \\
        --image-sizes 16 --padding 1 --out benchmarks/results/escnn

It needs escnn (Weiler & Cesa, NeurIPS 2019, https://github.com/QUVA-Lab/escnn), which this library does not depend on.
Its kernels are expanded in a steerable basis and, as it is by default, band-limited: a layer learns fewer numbers than
ours of the same size, and computes the same convolution with as many planes. Rotations by 90° are exact in both.
"""

from collections.abc import Mapping
from typing import Any

from escnn import gspaces
from escnn import nn as enn
from torch import Tensor, nn

SPACES = {"p4": lambda: gspaces.rot2dOnR2(4), "p4m": lambda: gspaces.flipRot2dOnR2(4)}


class Layer(nn.Module):
    """A group layer on ``(B, C, |H|, Y, X)``."""

    def __init__(self, sizes: Mapping[str, Any]) -> None:
        super().__init__()
        space = SPACES[sizes["group"]]()
        self.before, self.after = (
            enn.FieldType(space, [space.regular_repr] * sizes[name]) for name in ("in_channels", "out_channels")
        )
        self.order = space.regular_repr.size
        self.layer = enn.R2Conv(
            self.before, self.after, sizes["kernel_size"], padding=sizes["padding"], bias=False, initialize=True
        )

    def forward(self, x: Tensor) -> Tensor:
        """Merge the group axis, convolve, split it again."""
        found: Tensor = self.layer(enn.GeometricTensor(x.flatten(1, 2), self.before)).tensor
        return found.unflatten(1, (-1, self.order))


def layer(name: str, sizes: Mapping[str, Any]) -> nn.Module | None:
    """A plain group layer of p4 or p4m; None for anything else."""
    if name != "none" or sizes["kind"] != "group" or sizes["group"] not in SPACES:
        return None
    return Layer(sizes)
