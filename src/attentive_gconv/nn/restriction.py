r"""Restriction of a map to a subgroup: from p4m to p4, from p4 to z2 and so on.

Let H be a subgroup of G₀ and g_1 … g_J representatives of the cosets H g_j. Then

    out[b, c·J + j, h] = x[b, c, h·g_j]

is a map on Z² ⋊ H: for k in H, (L_k x)(h g_j) = x(k⁻¹h g_j), which is L_k of the output. Nothing is lost: it is a
permutation of the group axis, part of which becomes channels.

Source: Weiler & Cesa, "General E(2)-Equivariant Steerable CNNs", NeurIPS 2019, §2.7, https://arxiv.org/abs/1911.08251.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from attentive_gconv.groups import FiniteGroup
from attentive_gconv.groups import group as find_group
from attentive_gconv.groups.finite import matrix_key
from attentive_gconv.nn.arguments import checked


class GroupRestriction(nn.Module):
    """Restriction to a subgroup: layers behind it are equivariant to fewer transformations.

    For networks whose first layers should be equivariant to a group and whose later ones may have a preferred
    orientation.

    Args:
        group: the group of the input.
        subgroup: a group whose matrices are all among those of ``group``.

    Attributes:
        pose_index: int64 ``(|G₀|/|H|, |H|)``, entry ``[j, h]`` the pose h·g_j of the input.

    Shape:
        ``(B, C, |G₀|, Y, X)`` -> ``(B, C·|G₀|/|H|, |H|, Y, X)``.

    Raises:
        ValueError: if it is no subgroup, or the input is no map on the group.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.GroupRestriction("p4m", "p4")(torch.randn(2, 6, 8, 9, 9)).shape
        torch.Size([2, 12, 4, 9, 9])
    """

    @checked()
    def __init__(self, group: str | FiniteGroup, subgroup: str | FiniteGroup) -> None:
        super().__init__()
        self.group = find_group(group)
        self.subgroup = find_group(subgroup)
        number = {matrix_key(matrix): i for i, matrix in enumerate(self.group.matrices)}
        keys = [matrix_key(matrix) for matrix in self.subgroup.matrices]
        if missing := [i for i, key in enumerate(keys) if key not in number]:
            names = ", ".join(self.subgroup.element_name(i) for i in missing)
            raise ValueError(
                f"`subgroup` (={self.subgroup.name!r}) is no subgroup of {self.group.name!r}, which lacks {names}"
            )
        elements = [number[key] for key in keys]
        cosets: list[list[int]] = []
        for g in range(self.group.order):
            if not any(g in coset for coset in cosets):
                cosets.append([self.group.product(h, g) for h in elements])
        # no buffer: a module made on the meta device would keep it there, and no checkpoint holds it
        self.pose_index = torch.tensor(cosets, device="cpu")

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "GroupRestriction":
        """As `torch.nn.Module._apply`; the table is moved to the device, unless that is the meta device."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        device = fn(torch.empty(0, device=self.pose_index.device)).device
        self.pose_index = self.pose_index if device.type == "meta" else self.pose_index.to(device)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Permute the group axis and move the cosets to the channels: ``(B, C·|G₀|/|H|, |H|, Y, X)``."""
        if x.dim() != 5 or x.shape[2] != self.group.order:
            raise ValueError(
                f"GroupRestriction takes maps on the group (B, C, {self.group.order}, Y, X), got shape {tuple(x.shape)}"
            )
        return x[:, :, self.pose_index.to(x.device)].flatten(1, 2)

    def extra_repr(self) -> str:
        """The arguments, as `repr` shows them."""
        return f"{self.group.name!r}, {self.subgroup.name!r}"
