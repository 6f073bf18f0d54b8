"""What breaks equivariance: one table, from which the list in docs/explanation/equivariance.md is made.

After a change of the table, ``PYTHONPATH=tests python tests/nn/test_equivariance_limits.py`` writes it into the page.
"""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch

import attentive_gconv as ag
from helpers import CM, P2MM, PM

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "equivariance.md"
START, END = "<!-- table: tests/nn/test_equivariance_limits.py -->\n", "<!-- end of table -->\n"
GROUPS = {"pm": PM, "p2mm": P2MM, "cm": CM}


class Limit(NamedTuple):
    """A configuration that breaks equivariance, and the nearest one that keeps it, both on inputs of a size."""

    breaks: str
    group: str
    size: tuple[int, int]
    keeps: str
    keeps_size: tuple[int, int]
    why: str


LIMITS = [
    Limit(
        *("LiftingConv2d(g, 3, 3, 3, stride=2)", "p4", (8, 8)),
        *("LiftingConv2d(g, 3, 3, 3, stride=2)", (9, 9)),
        "an even side, an odd kernel and stride 2: the samples leave out the last row, never the first",
    ),
    Limit(
        *("GroupConv2d(g, 3, 3, 3, stride=2, padding=1)", "p4m", (8, 8)),
        *("GroupConv2d(g, 3, 3, 4, stride=2, padding=1)", (8, 8)),
        "padding does not help; an even kernel does, or stride 1 and a pool",
    ),
    Limit(
        *("GroupConv2d(g, 3, 3, 2, stride=2)", "p4", (7, 7)),
        *("GroupConv2d(g, 3, 3, 2, stride=2)", (8, 8)),
        "an odd side, an even kernel and stride 2",
    ),
    Limit(
        *("GroupConv2d(g, 3, 3, 3, stride=2, padding=1)", "p4", (9, 8)),
        *("GroupConv2d(g, 3, 3, 3, stride=2, padding=1)", (9, 7)),
        "each side counts: the even one breaks it",
    ),
    Limit(
        *("AttentiveGroupConv2d(g, 3, 3, 3, stride=2, padding=1)", "p4", (8, 8)),
        *("AttentiveGroupConv2d(g, 3, 3, 3, padding=1)", (8, 8)),
        "attention changes nothing about the grid",
    ),
    Limit(
        *("InputAttentiveLiftingConv2d(g, 3, 3, 3, stride=3)", "p4", (8, 8)),
        *("InputAttentiveLiftingConv2d(g, 3, 3, 3, stride=3)", (9, 9)),
        "other strides likewise",
    ),
    Limit(
        *("SpatialMaxPool2d(2)", "p4", (7, 7)),
        *("SpatialMaxPool2d(2)", (8, 8)),
        "an odd side through a 2x2 pool: the last row is dropped",
    ),
    Limit(
        *("SpatialAvgPool2d(2)", "p4", (7, 8)),
        *("SpatialAvgPool2d(3, stride=2, padding=1)", (7, 9)),
        "the same; a 3x3 window with padding suits odd sides",
    ),
    Limit(
        *("SpatialMaxPool2d(2, ceil_mode=True)", "p4", (7, 7)),
        *("SpatialMaxPool2d(2, ceil_mode=True)", (6, 6)),
        "`ceil_mode` adds a window at the end only",
    ),
    Limit(
        *("LiftingConv2d(g, 3, 3, 3, stride=(1, 2))", "p4", (7, 7)),
        *("LiftingConv2d(g, 3, 3, 3, stride=(2, 2))", (7, 7)),
        "a stride that differs between the axes, under an element that swaps them",
    ),
    Limit(
        *("GroupConv2d(g, 3, 3, 3, padding=(0, 1))", "p4", (7, 7)),
        *("GroupConv2d(g, 3, 3, 3, padding=1)", (7, 7)),
        "the same for padding",
    ),
    Limit(
        *("GroupConv2d(g, 3, 3, 3, dilation=(1, 2))", "cm", (7, 7)),
        *("GroupConv2d(g, 3, 3, 3, dilation=2)", (7, 7)),
        "the same for dilation; also under mirrorings along a diagonal",
    ),
    Limit(
        *("SpatialMaxPool2d((1, 2))", "p4m", (8, 8)),
        *("SpatialMaxPool2d(2)", (8, 8)),
        "the same for windows",
    ),
    Limit(
        *("torch.nn.Conv2d(3, 3, 3, padding=1)", "p4", (8, 8)),
        *("LiftingConv2d(g, 3, 3, 3, padding=1)", (8, 8)),
        "an ordinary convolution of a planar map: its kernel does not turn",
    ),
    Limit(
        *("torch.nn.BatchNorm3d(4)", "p4", (8, 8)),
        *("GroupBatchNorm2d(3)", (8, 8)),
        "statistics for each element: the group axis taken for channels",
    ),
    Limit(
        *("torch.nn.Flatten()", "p4", (8, 8)),
        *("GroupMaxPool()", (8, 8)),
        "flattening for a linear classifier keeps position and pose",
    ),
]

# what anisotropic geometry does not break: elements that do not swap the axes
HARMLESS = [
    ("LiftingConv2d(g, 3, 3, 3, stride=(1, 2))", "pm", (7, 7)),
    ("GroupConv2d(g, 3, 3, 3, padding=(0, 1), dilation=(1, 2))", "p2mm", (7, 9)),
    ("SpatialMaxPool2d((1, 2))", "p2mm", (7, 8)),
]


def run(code: str, group_name: str, size: tuple[int, int]) -> torch.Tensor:
    """The errors of a layer in a random state, on planar maps or maps on the group, whichever it takes."""
    group = GROUPS.get(group_name) or ag.group(group_name)
    layer = eval(code, {"torch": torch, **vars(ag.nn)}, {"g": group}).double()
    for part in layer.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_()
    planar = "Lifting" in code or "nn.Conv2d" in code
    x = torch.randn(2, 3, *(() if planar else (group.order,)), *size, dtype=torch.float64)
    if "BatchNorm3d" in code:  # the mistake: |H| where the channels belong
        inner, layer = layer.eval(), lambda x: inner(x.transpose(1, 2)).transpose(1, 2)
    return ag.check_equivariance(layer, group, x)


def markdown() -> str:
    lines = [
        "| breaks equivariance | group `g` | input | keeps it | input | why |",
        "|---|---|---|---|---|---|",
        *(
            f"| `{row.breaks}` | {row.group} | {row.size[0]} x {row.size[1]} | `{row.keeps}` "
            f"| {row.keeps_size[0]} x {row.keeps_size[1]} | {row.why} |"
            for row in LIMITS
        ),
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("row", LIMITS, ids=lambda row: row.breaks)
def test_configuration_breaks_equivariance_and_its_neighbour_keeps_it(row):
    broken = run(row.breaks, row.group, row.size)
    assert broken[0] == 0
    assert broken.max() > 1e-2
    assert run(row.keeps, row.group, row.keeps_size).max() < 1e-10


@pytest.mark.parametrize(("code", "group", "size"), HARMLESS)
def test_axes_may_differ_where_no_element_swaps_them(code, group, size):
    assert run(code, group, size).max() < 1e-10


@pytest.mark.parametrize("kernel_size", range(1, 5))
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_rule(stride, kernel_size):
    """The documented rule decides: the grid maps to itself if (n + 2p - d·(k - 1) - 1) % stride is 0."""
    for size in range(9, 13):
        for padding, dilation in ((0, 1), (1, 1), (2, 2)):
            rest = (size + 2 * padding - dilation * (kernel_size - 1) - 1) % stride
            arguments = f"{kernel_size}, stride={stride}, padding={padding}, dilation={dilation}"
            worst = run(f"LiftingConv2d(g, 3, 3, {arguments})", "p4", (size, size)).max()
            assert worst < 1e-10 if rest == 0 else worst > 1e-2, (size, padding, dilation)


def test_asymmetric_padding_is_refused():
    with pytest.raises(
        ValueError, match=r"even kernel_size \(=4\) pads one side more .* breaks equivariance; use an odd"
    ):
        ag.nn.LiftingConv2d("p4", 3, 3, 4, padding="same")


def test_list_in_the_docs_is_this_table():
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(START) == text.count(END) == 1
    listed = text.split(START)[1].split(END)[0]
    assert listed == markdown(), f"bring {PAGE.name} up to date: PYTHONPATH=tests python tests/nn/{Path(__file__).name}"


def write_table() -> None:
    """Put the table into the page."""
    head, rest = PAGE.read_text(encoding="utf-8").split(START)
    PAGE.write_text(head + START + markdown() + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    write_table()
