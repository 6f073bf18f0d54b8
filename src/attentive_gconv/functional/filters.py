r"""The action of the group on kernels: one gather, after one small matrix where elements interpolate.

A group layer learns one kernel ψ and uses all its transforms (L_h ψ), h in H:

    (L_h ψ)(x)     = ψ(h⁻¹x)             kernels on the plane (lifting)
    (L_h ψ)(x, h') = ψ(h⁻¹x, h⁻¹h')      kernels on G
    (L_h W)(h')    = W(h⁻¹h')            1x1 kernels on G (the gates of channel attention)

On groups of the pixel grid each is a permutation of the kernel's entries, so an index table built once turns all |H|
transforms into a single `index_select`. On other groups h = k·r, k exact and r one of R representatives: the R kernels
turned by r are sampled from the learned weights (`attentive_gconv.functional.ring_filters`), and L_k L_r ψ is again a
permutation, of these. So a layer is exactly equivariant to the exact subgroup whatever the others do.

Source: Cohen & Welling, ICML 2016, §4.4 and §7, https://arxiv.org/abs/1602.07576. The tables are ours.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from attentive_gconv.functional.ring_filters import filter_basis
from attentive_gconv.groups import FiniteGroup


@dataclass(frozen=True, eq=False)
class KernelTransform:
    """Tables that give all transforms of a kernel.

    Attributes:
        index: the table of `kernel_index`.
        basis: the matrix of `filter_basis`; None where kernels are permuted alone.
    """

    index: Tensor
    basis: Tensor | None

    @property
    def entries(self) -> tuple[int, ...]:
        """The last axes of a learned weight: ``(|H|, k, k)`` or, sampled by a basis, ``(|H|, P)``."""
        shape = tuple(self.index.shape[1:])
        return shape if self.basis is None else (*shape[:-2], len(self.basis))


def kernel_transform(group: FiniteGroup, kernel_size: int | None = None, *, over_group: bool) -> KernelTransform:
    """The transforms of the kernels of a layer.

    Args:
        group, kernel_size, over_group: as in `kernel_index`.

    Example:
        >>> import attentive_gconv as ag
        >>> kernel_transform(ag.group("p4"), 3, over_group=True).entries
        (4, 3, 3)
        >>> kernel_transform(ag.group("c8"), 3, over_group=True).entries
        (8, 6)
    """
    basis = filter_basis(group, 1 if kernel_size is None else kernel_size)
    return KernelTransform(kernel_index(group, kernel_size, over_group=over_group), basis)


def kernel_index(group: FiniteGroup, kernel_size: int | None = None, *, over_group: bool) -> Tensor:
    """The table that gathers every transform of a kernel.

    Args:
        group: the group H.
        kernel_size: the side k of a square kernel; None for kernels without spatial extent.
        over_group: whether the kernel has a group axis (kernels on G) or not (kernels on the plane).

    Returns:
        int64 ``(|H|, |H|, k, k)``, ``(|H|, k, k)`` or ``(|H|, |H|)``: entry ``[h]`` gives, for each entry of L_h ψ, the
        flat index of the entry of ψ that it takes. Where elements interpolate, ψ stands for its R turned samples,
        stacked along Y: ``(|H|, R·k, k)`` or ``(R·k, k)``.

    Example:
        >>> import attentive_gconv as ag
        >>> kernel_index(ag.group("p4"), over_group=True)[1]
        tensor([3, 0, 1, 2])
    """
    side = 1 if kernel_size is None else kernel_size
    depth = group.order if over_group else 1
    turned = group.representatives if side > 1 else (0,)
    # device="cpu" also under torch.device("meta"): the table is data, not a parameter to be filled in later
    entries = torch.arange(depth * len(turned) * side * side, device="cpu").view(depth, len(turned), side, side)
    rows = []
    for h, (exact, representative) in enumerate(group.factors):
        poses = group.permutation(h) if over_group else [0]
        samples = entries[poses, turned.index(representative) if side > 1 else 0]
        rows.append(group.act_on_plane(exact, samples) if side > 1 else samples)
    table = torch.stack(rows)
    if not over_group:
        table = table.squeeze(1)
    return table if kernel_size is not None else table.squeeze((-2, -1))


def sample_kernel(weight: Tensor, basis: Tensor) -> Tensor:
    """The turned samples of a kernel from its learned weights.

    Args:
        weight: ``(..., P)``.
        basis: the matrix of `filter_basis`, ``(P, R·k, k)``.

    Returns:
        ``(..., R·k, k)``.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> transform = kernel_transform(ag.group("c8"), 3, over_group=True)
        >>> sample_kernel(torch.randn(5, 2, 8, 6).double(), transform.basis).shape
        torch.Size([5, 2, 8, 6, 3])
    """
    samples: Tensor = torch.tensordot(weight, basis, 1)
    return samples


def transform_kernel(weight: Tensor, index: Tensor) -> Tensor:
    """All transforms of a kernel.

    Args:
        weight: ``(O, ..., *entries)``, where ``entries`` are the axes that the table indexes; where elements
            interpolate, the turned samples of `sample_kernel`.
        index: the table of `kernel_index`, ``(|H|, *entries)``.

    Returns:
        ``(O, |H|, ..., *entries)``: entry ``[:, h]`` is L_h of the weight.

    Raises:
        ValueError: if the weight's last axes are not those of the table.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> index = kernel_index(ag.group("p4"), 3, over_group=True)
        >>> transform_kernel(torch.randn(5, 2, 4, 3, 3), index).shape
        torch.Size([5, 4, 2, 4, 3, 3])
    """
    entries = index.shape[1:]
    lead = weight.shape[: weight.dim() - len(entries)]
    if not lead or not _fits(weight.shape[len(lead) :], entries):
        raise ValueError(f"weight {tuple(weight.shape)} must end with the axes {tuple(entries)} of the index table")
    numbered = weight.shape[len(lead) :].numel()
    gathered = weight.reshape(-1, numbered).index_select(1, index.flatten())
    return gathered.view(*lead, index.shape[0], *entries).movedim(len(lead), 1)


def _fits(shape: torch.Size, entries: torch.Size) -> bool:
    """Whether a weight ends with these axes, or with several turned samples stacked along Y."""
    if shape == entries:
        return True
    several = len(entries) > 1 and shape[-2] % entries[-2] == 0
    return several and (*shape[:-2], shape[-1]) == (*entries[:-2], entries[-1])
