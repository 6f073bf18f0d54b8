"""Group convolution by irreducible representations in plain PyTorch: transformed patches and batched matrix products.

A form for GPUs, whose library has fast matrix products: the patches of a batch are gathered
and transformed (k² times the input's size), and every irrep is one batched product. Mathematics and names:
`attentive_gconv.functional.irreps`. Stride and dilation 1. Gradients are those of PyTorch's operations.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

from attentive_gconv.functional import fourier_matrix, orbit_index, real_irreps
from attentive_gconv.groups import FiniteGroup


def irreps_gemm(x: Tensor, weight: Tensor, group: FiniteGroup, padding: int = 0) -> Tensor:
    """The group convolution of ``x (B, C, |H|, Y, X)`` with the learned kernel ``(O, C, |H|, k, k)``.

    Returns:
        ``(B, O, |H|, Y', X')``.

    Example:
        >>> import attentive_gconv as ag
        >>> p4m = ag.group("p4m")
        >>> layer = ag.nn.GroupConv2d(p4m, 2, 3, 3, padding=1, bias=False).double()
        >>> x = torch.randn(2, 2, 8, 5, 4).double()
        >>> torch.allclose(irreps_gemm(x, layer.scale * layer.weight, p4m, padding=1), layer(x))
        True
    """
    batch, channels, order, height, width = x.shape
    outputs, side = len(weight), weight.shape[-1]
    orbit, poses = orbit_index(group, side).to(x.device), torch.arange(order, device=x.device)
    transform = fourier_matrix(group, normalized=False).to(x)
    patches = F.unfold(x.flatten(1, 2), side, padding=padding).view(batch, channels, order, side**2, -1)
    read = patches[:, :, poses, orbit]  # (B, C, k², |H|, P), along the orbits
    seen = torch.einsum("rs,bctsp->rctbp", transform, read).flatten(3).flatten(1, 2)  # (rows, C·k², B·P)
    kernel = weight.flatten(-2)[:, :, poses, orbit]  # (O, C, k², |H|)
    parts, row = [], 0
    for (dimension, rows), alike in itertools.groupby(real_irreps(group), lambda irrep: (irrep.dimension, irrep.rows)):
        matrices = torch.tensor([irrep.matrices for irrep in alike]).to(x)  # (irreps, |H|, b, k)
        filters = torch.einsum("octu,iubk->ibokct", kernel, matrices).flatten(3).flatten(1, 2)
        here = seen[row : row + len(matrices) * rows * dimension].unflatten(0, (len(matrices), rows, dimension))
        found = filters[:, None] @ here.flatten(2, 3)  # (irreps, rows, d·O, B·P)
        parts.append(found.unflatten(2, (dimension, outputs)).flatten(0, 2) * (dimension / order))
        row += len(matrices) * rows * dimension
    out = torch.einsum("rg,ron->gon", transform, torch.cat(parts))
    size = [length + 2 * padding - side + 1 for length in (height, width)]
    return out.unflatten(2, (batch, -1)).permute(2, 1, 0, 3).unflatten(3, size)
