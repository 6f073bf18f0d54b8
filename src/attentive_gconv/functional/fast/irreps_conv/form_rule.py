r"""The rule that chooses the form of a group convolution: by irreducible representations, or expanded.

The time of both forms is estimated in nanoseconds of one core, as a sum of the costs of its `Features`. The costs are
fitted to measurements, benchmarks/results/conv-forms.json, by ``python benchmarks/conv_forms.py --fit FILE``. Irreps
are chosen where their estimate is lower by a margin, so wide that hardly any measured layer is slower for it; the
script lists these.
"""

from functools import lru_cache
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from attentive_gconv.functional.fast import dispatch
from attentive_gconv.functional.geometry import Pair, output_size
from attentive_gconv.functional.irreps import real_irreps
from attentive_gconv.groups import FiniteGroup

FORMS = {
    "auto": "whichever is estimated to be faster",
    "expanded": "conv2d with every transform of the kernel",
    "irreps": "by irreducible representations, wherever that can run",
}
# whether the convolution is differentiated: the ratio of the estimates up to which irreps are taken
MARGINS = {False: 0.9, True: 0.8}
PANEL = 32  # positions that are computed together
MIN_POSITIONS = 16  # with fewer, `conv2d` does little more than read the kernel once
LARGE = 128 * 32 * 32  # positions of a large batch
LANES = 16  # output channels that the kernel's gradient computes together


class Features(NamedTuple):
    """Amounts of work, or the nanoseconds that one unit of each costs. Positions are those of the whole batch.

    Attributes:
        calls: the fixed cost.
        entries: of the packed kernel: O·C·k²·|H|, expanded times |H|.
        products: multiplications; by irreps at positions filled up to whole panels.
        maps: entries of input and output.
        patches: entries of the patches, without those of the map itself where there is no transform.
    """

    calls: float
    entries: float
    products: float
    maps: float
    patches: float


# expanded, irreps
COSTS = {
    False: (Features(3.5e4, 0.865, 0.0187, 1.69, 0.216), Features(7.5e4, 1.39, 0.0226, 0.897, 0.201)),
    True: (Features(3.6e5, 7.87, 0.0535, 5.47, 0.335), Features(6.6e5, 25.1, 0.0609, 4.13, 0.305)),
}
# of reading and writing maps, what 1 × 1 kernels cost the expanded form
POINTWISE_MAPS = {False: 0.4, True: 0.7}


class ConvOptions(NamedTuple):
    """Options of a group convolution: group, quadrature weight, and sizes as in `conv2d`."""

    group: FiniteGroup
    scale: float
    stride: Pair
    padding: Pair
    dilation: Pair


class Size(NamedTuple):
    """The sizes and settings that decide which form is faster."""

    group: FiniteGroup
    channels: int
    outputs: int
    kernel_size: int
    positions: int  # of the output, in the whole batch
    strided: bool
    training: bool
    threads: int


def takes_irreps(form: str, x: Tensor, weight: Tensor, bias: Tensor | None, options: ConvOptions) -> bool:
    """Whether a group convolution is computed by irreducible representations.

    Args:
        form: a key of `FORMS`.
        x: ``(B, C, |H|, Y, X)``.
        weight: the learned kernel ``(O, C, |H|, k, k)``.
        bias: ``(O,)`` or None.
        options: of the convolution.

    Example:
        >>> import attentive_gconv as ag
        >>> options = ConvOptions(ag.group("p4"), 1.0, (1, 1), (1, 1), (1, 1))
        >>> takes_irreps("expanded", torch.ones(1, 1, 4, 5, 5), torch.ones(1, 1, 4, 3, 3), None, options)
        False
    """
    if form == "expanded" or options.group.order == 1 or not dispatch.sizes_are_plain():
        return False
    if not has_kernels(options.group):
        return False
    # sizes first: they are looked up in a cache, and rule most small layers out
    training = dispatch.is_recorded(x, weight, bias)
    if form == "auto" and not irreps_are_faster(size_of(x, weight, options, training=training)):
        return False
    return dispatch.is_compiled_on_cpu(x, weight, bias)


@lru_cache(64)
def has_kernels(group: FiniteGroup) -> bool:
    """Whether there are compiled kernels for a group: Numba is installed, and its representations are known."""
    if not dispatch.available_backends()["numba"]:
        return False
    try:
        real_irreps(group)
    except ValueError:
        return False
    return True


def takes_operator(form: str, x: Tensor, weight: Tensor, bias: Tensor | None, options: ConvOptions) -> bool:
    """Whether `torch.compile` sees a group convolution as one operator, which chooses the form at every call.

    So it is where irreps are requested, or faster on large maps; elsewhere compilers see `conv2d`. The arguments are
    those of `takes_irreps`.
    """
    if form == "expanded" or options.group.order == 1 or not options.group.is_exact:
        return False
    if not dispatch.takes_cpu_operators(x, weight, bias):
        return False
    outputs, channels, _, side, _ = weight.shape
    training = dispatch.is_recorded(x, weight, bias)
    return _can_pay(elements_of(options.group), form, channels, outputs, side, options.stride != (1, 1), training)


@dispatch.constant_when_compiled
def _can_pay(
    elements: tuple[int, ...], form: str, channels: int, outputs: int, side: int, strided: bool, training: bool
) -> bool:
    group = group_of(elements)
    if not has_kernels(group):
        return False
    large = Size(group, channels, outputs, side, LARGE, strided, training, torch.get_num_threads())
    return form == "irreps" or irreps_are_faster(large)


def elements_of(group: FiniteGroup) -> tuple[int, ...]:
    """The entries of an exact group's matrices, as operators of PyTorch take them.

    Example:
        >>> import attentive_gconv as ag
        >>> elements_of(ag.group("c2"))
        (1, 0, 0, 1, -1, 0, 0, -1)
    """
    return tuple(int(entry) for matrix in group.matrices for row in matrix for entry in row)


@lru_cache(64)
def group_of(elements: tuple[int, ...]) -> FiniteGroup:
    """The group of these entries, the inverse of `elements_of`; without a name or weight of its own."""
    rows = [elements[i : i + 2] for i in range(0, len(elements), 2)]
    return FiniteGroup("exact", [rows[i : i + 2] for i in range(0, len(rows), 2)])


def size_of(x: Tensor, weight: Tensor, options: ConvOptions, *, training: bool) -> Size:
    """The sizes of a convolution, for `irreps_are_faster`."""
    outputs, channels, _, side, _ = weight.shape
    rows, columns = output_size((x.shape[-2], x.shape[-1]), (side, side), *options[2:])
    positions, strided = len(x) * rows * columns, options.stride != (1, 1)
    return Size(options.group, channels, outputs, side, positions, strided, training, torch.get_num_threads())


@lru_cache(1024)
def irreps_are_faster(size: Size) -> bool:
    """Whether the form by irreducible representations is estimated to be faster, by the margin.

    Example:
        >>> import attentive_gconv as ag
        >>> layer = Size(ag.group("p4m"), 32, 32, 3, 1, strided=False, training=True, threads=1)
        >>> irreps_are_faster(layer), irreps_are_faster(layer._replace(positions=32 * 32))
        (False, True)
    """
    expanded, irreps = estimates(size)
    return size.positions >= MIN_POSITIONS and irreps < MARGINS[size.training] * expanded


def features(size: Size) -> tuple[Features, Features]:
    """The work of both forms: expanded, irreps."""
    order, offsets = size.group.order, size.kernel_size**2
    products = 0.0
    for irrep in real_irreps(size.group):
        outputs = float(irrep.dimension * size.outputs)
        if size.training:  # one pass of three has the outputs filled up to whole vectors
            outputs = (2 * outputs + ceil(outputs / LANES) * LANES) / 3
        products += irrep.dimension * irrep.rows * outputs
    entries = size.channels * size.outputs * offsets
    maps = order * (size.channels + size.outputs) * size.positions
    filled = ceil(size.positions / PANEL) * PANEL
    seen = order * (2 * size.channels + size.outputs if size.training else size.channels)  # by how many patches
    pointwise = POINTWISE_MAPS[size.training] if offsets == 1 else 1
    return (
        Features(
            *(1, order**2 * entries, order**2 * entries * size.positions),
            *(pointwise * maps, (offsets - 1) * seen * size.positions),
        ),
        Features(1, order * entries, size.channels * offsets * products * filled, maps, offsets * seen * filled),
    )


def estimates(size: Size) -> tuple[float, float]:
    """Estimated nanoseconds of both forms: expanded, irreps."""
    expanded, irreps = (
        costs.calls * work.calls
        + costs.entries * work.entries
        + sum(cost * amount for cost, amount in zip(costs[2:], work[2:], strict=True)) / size.threads
        for costs, work in zip(COSTS[size.training], features(size), strict=True)
    )
    if size.strided and size.training:  # the gradient of the input is that of the expanded kernel
        irreps = (2 * irreps + expanded) / 3
    return expanded, irreps
