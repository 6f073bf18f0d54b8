"""Packing of kernels, in the order in which the compiled products read them.

A kernel ψ (O, C, |H|, k, k) is read along its orbits, Fourier-transformed, and laid out in tiles: two gathers with a
small matrix product between them. The gradient is unpacked by the transposes of these.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from attentive_gconv.functional.fast.irreps_conv.tiling import channel_block, irrep_products
from attentive_gconv.functional.fast.numba_runtime.simd import lanes
from attentive_gconv.functional.irreps import orbit_index, real_irreps
from attentive_gconv.groups import FiniteGroup


class Packing(NamedTuple):
    """The two gathers of a kernel, and their inverses."""

    orbits: Tensor  # (O'·C'·k²·|H|,) entries of ψ: for each output, channel and offset t the entry (u, M_u t) over u
    back: Tensor  # the inverse permutation
    matrix: Tensor  # (|H|, E): ŵ, with what the inverse transform of the output is scaled by
    tiles: Tensor  # for each packed weight its entry of ŵ; one past the end for padding
    sums: Tensor  # for each entry of ŵ the position of its gradient


@lru_cache(128)
def packing_of(
    group: FiniteGroup, outputs: int, channels: int, kernel_size: int, kind: Any, opposite: bool = False
) -> Packing:
    """The packing of a kernel with O outputs and C channels.

    ``opposite``: of the kernel with which the output's gradient is correlated to give the input's,
    ψ'[c, o, u, t] = ψ[o, c, u⁻¹, -M_u⁻¹t].
    """
    offsets, order = kernel_size**2, group.order
    # on the CPU, whatever the default device is: the tables are cached
    count = outputs * channels * order * offsets
    numbers = torch.arange(count, device="cpu").view(outputs, channels, order, offsets)
    orbit = orbit_index(group, kernel_size)  # (k², |H|)
    if opposite:
        # w'_t(u) = ψ'[c, o, u, M_u t] = ψ[o, c, u⁻¹, -t]
        orbits = numbers.flip(-1)[:, :, list(group.inverse_table)].permute(1, 0, 3, 2)
        outputs, channels = channels, outputs
    else:
        orbits = numbers[:, :, list(range(order)), orbit]
    orbits = orbits.flatten()
    entries = [
        (irrep, b, k) for irrep in real_irreps(group) for b in range(irrep.dimension) for k in range(irrep.dimension)
    ]
    columns = [[irrep.dimension / order * m[b][k] for m in irrep.matrices] for irrep, b, k in entries]
    tiles, sums = _layout(group, outputs, channels, kernel_size, kind)
    back = torch.empty_like(orbits)
    back[orbits] = torch.arange(count, device="cpu")
    matrix = torch.from_numpy(np.ascontiguousarray(np.array(columns, kind).T))
    return Packing(orbits, back, matrix, torch.from_numpy(tiles), torch.from_numpy(sums))


def _layout(group: FiniteGroup, outputs: int, channels: int, kernel_size: int, kind: Any) -> tuple[Any, Any]:
    """Which entry of ŵ (output, channel, offset, entry) each packed weight is, and where each one's gradient lies."""
    offsets, lane = kernel_size**2, lanes(kind)
    block = channel_block(group, channels, kernel_size, kind.itemsize)
    blocks = -(-channels // block)
    products, *_, weights, _, all_sums = irrep_products(group, outputs, offsets, block, lane, 1)
    entries = sum(irrep.dimension**2 for irrep in real_irreps(group))
    o, c, t = np.ogrid[:outputs, :channels, :offsets]
    tiles = np.full(blocks * weights, outputs * channels * offsets * entries)
    sums = np.empty((outputs, channels, offsets, entries), np.int64)
    entry, at = 0, 0
    for irrep in real_irreps(group):
        product = products[at]
        at += irrep.rows
        for b in range(irrep.dimension):
            for k in range(irrep.dimension):
                deep = (c % block * irrep.dimension + k) * offsets + t
                tile, row = np.divmod(b * outputs + o, product.height)
                at_tile = (tile * product.depth * block + deep) * product.height + row
                at_tile = at_tile + c // block * weights + product.weights
                tiles[at_tile.ravel()] = ((((o * channels + c) * offsets) + t) * entries + entry).ravel()
                sums[..., entry] = c // block * all_sums + product.sums + deep * product.columns + b * outputs + o
                entry += 1
    return tiles, sums.ravel()


def pack(weight: Tensor, packing: Packing, scale: float) -> Tensor:
    """The packed weights of a kernel times a factor."""
    read = weight.reshape(-1).index_select(0, packing.orbits).view(-1, len(packing.matrix))
    transformed = torch.cat([(read @ (packing.matrix * scale)).flatten(), read.new_zeros(1)])
    return transformed.index_select(0, packing.tiles)


def unpack_gradient(sums: Tensor, packing: Packing, scale: float, shape: torch.Size) -> Tensor:
    """The gradient of a kernel from that of its transform, as the compiled kernel adds it up."""
    transformed = sums.index_select(0, packing.sums).view(-1, packing.matrix.shape[1])
    return (transformed @ (packing.matrix.t() * scale)).flatten().index_select(0, packing.back).view(shape)
