r"""The action of the group on kernels, as one gather.

A group layer learns one kernel ψ and uses all its transforms (L_h ψ), h in H:

    (L_h ψ)(x)     = ψ(h⁻¹x)             kernels on the plane (lifting)
    (L_h ψ)(x, h') = ψ(h⁻¹x, h⁻¹h')      kernels on G
    (L_h W)(h')    = W(h⁻¹h')            1x1 kernels on G (the gates of channel attention)

Each is a permutation of the kernel's entries, so an index table built once turns all |H| transforms into a single
`index_select`.

Source: Cohen & Welling, ICML 2016, §4.4 and §7, https://arxiv.org/abs/1602.07576. The tables are ours.
"""

import torch
from torch import Tensor

from attentive_gconv.groups import FiniteGroup


def kernel_index(group: FiniteGroup, kernel_size: int | None = None, *, over_group: bool) -> Tensor:
    """The table that gathers every transform of a kernel.

    Args:
        group: the group H.
        kernel_size: the side k of a square kernel; None for kernels without spatial extent.
        over_group: whether the kernel has a group axis (kernels on G) or not (kernels on the plane).

    Returns:
        int64 ``(|H|, |H|, k, k)``, ``(|H|, k, k)`` or ``(|H|, |H|)``: entry ``[h]`` gives, for each entry of L_h ψ, the
        number of the entry of ψ that it takes.

    Example:
        >>> import attentive_gconv as ag
        >>> kernel_index(ag.group("p4"), over_group=True)[1]
        tensor([3, 0, 1, 2])
    """
    side = 1 if kernel_size is None else kernel_size
    depth = group.order if over_group else 1
    # device="cpu" also under torch.device("meta"): the table is data, not a parameter to be filled in later
    entries = torch.arange(depth * side * side, device="cpu").view(depth, side, side)
    act = group.act if over_group else group.act_on_plane
    table = torch.stack([act(h, entries) for h in range(group.order)])
    if not over_group:
        table = table.squeeze(1)
    return table if kernel_size is not None else table.squeeze((-2, -1))


def transform_kernel(weight: Tensor, index: Tensor) -> Tensor:
    """All transforms of a kernel.

    Args:
        weight: ``(O, ..., *entries)``, where ``entries`` are the axes that the table numbers.
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
    if weight.shape[len(lead) :] != entries or not lead:
        raise ValueError(f"weight {tuple(weight.shape)} must end with the axes {tuple(entries)} of the index table")
    gathered = weight.reshape(-1, entries.numel()).index_select(1, index.flatten())
    return gathered.view(*lead, index.shape[0], *entries).movedim(len(lead), 1)
