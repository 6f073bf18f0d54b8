"""Finite groups of symmetries of the pixel grid, by name."""

import difflib
import re

from attentive_gconv.groups.finite import FiniteGroup
from attentive_gconv.groups.planar import p4, p4m, z2

__all__ = ["FiniteGroup", "group", "list_groups"]

_GROUPS = {"z2": z2, "p4": p4, "p4m": p4m}
_SAME_AS = {"c1": "z2", "c4": "p4", "d4": "p4m", "p1": "z2", "p4mm": "p4m"}


def list_groups() -> list[str]:
    """Names of the available groups, for `group`.

    Example:
        >>> list_groups()
        ['z2', 'p4', 'p4m']
    """
    return list(_GROUPS)


def group(name: str | FiniteGroup) -> FiniteGroup:
    """Get a group by name; a `FiniteGroup` is returned as it is, so that layers take either.

    Args:
        name: ``"z2"``, ``"p4"``, ``"p4m"``, or a `FiniteGroup` of your own.

    Raises:
        TypeError: if the argument is neither.
        ValueError: if the name is unknown; the message offers the nearest. Groups that the square grid cannot
            represent exactly (``"c8"``: rotations by 45°) are refused, never rounded.

    Example:
        >>> group("p4m").order
        8
    """
    if isinstance(name, FiniteGroup):
        return name
    if not isinstance(name, str):
        raise TypeError(f"group (={name!r}) must be a name such as 'p4' or a FiniteGroup")
    if name in _GROUPS:
        return _GROUPS[name]()
    known = ", ".join(repr(known) for known in _GROUPS)
    wanted = name.strip().lower()
    if wanted in _GROUPS or wanted in _SAME_AS:
        raise ValueError(f"unknown group {name!r}: did you mean {_SAME_AS.get(wanted, wanted)!r}? Known are {known}")
    if (match := re.fullmatch(r"[cd](\d+)", wanted)) and int(match[1]) not in (1, 2, 4):
        raise ValueError(
            f"group {name!r} is not available: its rotations by {360 / max(int(match[1]), 1):g}° do not map the square "
            f"pixel grid to itself, so equivariance would not be exact; known are {known}"
        )
    near = difflib.get_close_matches(wanted, [*_GROUPS, *_SAME_AS], n=1, cutoff=0.4)
    hint = f" did you mean {_SAME_AS.get(near[0], near[0])!r}?" if near else ""
    raise ValueError(
        f"unknown group {name!r}:{hint} Known are {known}; a group of your own is "
        "attentive_gconv.groups.FiniteGroup(name, matrices)"
    )
