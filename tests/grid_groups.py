"""Every symmetry group of the square grid, with each orientation of its mirrors, and other orders of elements."""

import attentive_gconv as ag

SQUARE = ag.group("p4m").matrices  # rotations by 0°, 90°, 180°, 270°, then these followed by reversing y


def group_id(group: ag.FiniteGroup) -> str:
    return group.name


def _subgroup(name: str, *elements: int) -> ag.FiniteGroup:
    return ag.FiniteGroup(name, [SQUARE[i] for i in elements])


TABLED = {
    group.name: group
    for group in (
        *(ag.group(name) for name in ("z2", "p4", "p4m")),
        _subgroup("p2", 0, 2),
        _subgroup("pm", 0, 4),
        _subgroup("pm across", 0, 6),
        _subgroup("cm", 0, 5),
        _subgroup("cm across", 0, 7),
        _subgroup("pmm", 0, 2, 4, 6),
        _subgroup("cmm", 0, 7, 2, 5),
        _subgroup("p4 backwards", 0, 3, 2, 1),
        _subgroup("p4m shuffled", 0, 6, 3, 1, 5, 4, 2, 7),
    )
}
GRID_GROUPS = list(TABLED.values())
