r"""Geometry of a convolution in which every tap is one flat shift, whatever the stride, padding and dilation.

A padded plane is split into its stride phases, each stored row by row with the same pitch. The sample that tap t sees
at output position (y, x) then lies at ``offset[t] + y·pitch + x``: kernels of full attention read shifted vectors and
know nothing of stride or dilation. Columns x ≥ X' of a "wide" row of ``pitch`` entries are computed and ignored.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from attentive_gconv.functional.geometry import Pair, output_size, pair


@dataclass(frozen=True)
class Geometry:
    """Sizes and options of one convolution, Y before X in every pair."""

    size: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    @cached_property
    def output(self) -> Pair:
        """(Y', X')."""
        return output_size(self.size, self.kernel, self.stride, self.padding, self.dilation)

    @cached_property
    def phase(self) -> Pair:
        """(Yq, Xq): the size of one stride phase of the padded plane."""
        y, x = (-(-(n + 2 * p) // s) for n, p, s in zip(self.size, self.padding, self.stride, strict=True))
        return y, x

    @property
    def pitch(self) -> int:
        """The distance between rows."""
        return self.phase[1]

    @property
    def length(self) -> int:
        """How many samples a spread plane has, all its phases together."""
        return self.phase[0] * self.phase[1] * self.stride[0] * self.stride[1]

    @property
    def wide(self) -> int:
        """The length of a run that covers every output position."""
        rows, columns = self.output
        return (rows - 1) * self.pitch + columns

    def offsets(self) -> list[int]:
        """The flat shift of every tap, in the kernel's own order."""
        (rows, pitch), (sy, sx), (dy, dx) = self.phase, self.stride, self.dilation
        shifts = []
        for ty in range(self.kernel[0]):
            for tx in range(self.kernel[1]):
                (row, py), (column, px) = divmod(ty * dy, sy), divmod(tx * dx, sx)
                shifts.append((py * sx + px) * rows * pitch + row * pitch + column)
        return shifts

    def spread(self, x: Tensor) -> Tensor:
        """Planes in phases: ``(B, I, G, Y, X)`` -> ``(B, G, I, sy·sx·Yq·Xq)``, contiguous."""
        (sy, sx), (rows, pitch), (py, px) = self.stride, self.phase, self.padding
        bottom, right = rows * sy - self.size[0] - py, pitch * sx - self.size[1] - px
        padded = F.pad(x.transpose(1, 2), (px, right, py, bottom))
        phases = padded.unflatten(-1, (pitch, sx)).unflatten(-3, (rows, sy)).permute(0, 1, 2, 4, 6, 3, 5)
        return phases.flatten(3).contiguous()

    def window_means(self, x: Tensor) -> Tensor:
        """The mean of what each tap sees over the output positions: ``(B, I, G, Y, X)`` -> ``(B, G, I, K)``."""
        selectors = []
        for n, k, s, p, d, m in zip(
            self.size, self.kernel, self.stride, self.padding, self.dilation, self.output, strict=True
        ):
            # on the CPU, whatever the default device is
            taps = torch.arange(k, device="cpu")[:, None]
            seen = taps * d + torch.arange(m, device="cpu") * s - p
            inside = seen.ge(0) & seen.lt(n)
            rows = torch.zeros(k, n, dtype=torch.float64, device="cpu").index_put_(
                (taps.expand_as(seen)[inside], seen[inside]),
                torch.tensor(1 / m, dtype=torch.float64, device="cpu"),
            )
            selectors.append(rows.to(x))
        return (selectors[0] @ x @ selectors[1].mT).transpose(1, 2).flatten(3)

    def gather(self, spread: Tensor) -> Tensor:
        """Planes from phases, the inverse of `spread`: ``(B, G, I, ...)`` -> ``(B, I, G, Y, X)``."""
        (sy, sx), (rows, pitch), (py, px) = self.stride, self.phase, self.padding
        padded = spread.unflatten(-1, (sy, sx, rows, pitch)).permute(0, 1, 2, 5, 3, 6, 4).flatten(-2).flatten(-3, -2)
        # a last row or column that no phase needed stays without gradient: pad it back
        (y, x), (have_y, have_x) = self.size, padded.shape[-2:]
        padded = F.pad(padded, (0, max(0, px + x - have_x), 0, max(0, py + y - have_y)))
        return padded[..., py : py + y, px : px + x].transpose(1, 2)


@lru_cache(maxsize=256)
def geometry_of(size: Pair, kernel: Pair, stride: int | Pair, padding: int | Pair, dilation: int | Pair) -> Geometry:
    """The geometry of a convolution, cached."""
    return Geometry(size, kernel, pair(stride), pair(padding), pair(dilation))


@lru_cache(maxsize=256)
def same_padding(size: Pair, side: int, dilation: int) -> tuple[Geometry, Pair]:
    """The geometry of a spatial-attention kernel, and how many taps can be dropped on each side.

    Where the map is smaller than the kernel, the outer taps see nothing but padding: no effect, no gradient.
    """
    reach = [min(side // 2, (n - 1) // dilation) for n in size]
    drop = (side // 2 - reach[0], side // 2 - reach[1])
    kernel = (2 * reach[0] + 1, 2 * reach[1] + 1)
    padding = (reach[0] * dilation, reach[1] * dilation)
    return Geometry(size, kernel, (1, 1), padding, (dilation, dilation)), drop


def index_dtype(count: int) -> torch.dtype:
    """The integer dtype of indices below ``count``: int16 if that suffices, as it nearly always does."""
    return torch.int16 if count <= 2**15 else torch.int32
