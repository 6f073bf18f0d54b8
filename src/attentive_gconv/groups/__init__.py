"""Finite groups of symmetries of the plane, by name: of the pixel grid, exact, and of any angle, approximate."""

import difflib
import re

from attentive_gconv.groups.finite import ApproximateGroupWarning, FiniteGroup
from attentive_gconv.groups.planar import MAX_ROTATIONS, cyclic, dihedral, p4, p4m, z2

__all__ = ["ApproximateGroupWarning", "FiniteGroup", "group", "list_groups"]

_GROUPS = {"z2": z2, "p4": p4, "p4m": p4m}
_SAME_AS = {"c1": "z2", "c4": "p4", "d4": "p4m", "p1": "z2", "p4mm": "p4m"}
_FAMILIES = {"c": cyclic, "d": dihedral}


def list_groups() -> list[str]:
    """Names of the paper's groups, for `group`, which also makes ``"c<N>"`` and ``"d<N>"``.

    Example:
        >>> list_groups()
        ['z2', 'p4', 'p4m']
    """
    return list(_GROUPS)


def group(name: str | FiniteGroup) -> FiniteGroup:
    """Get a group by name; a `FiniteGroup` is returned as it is, so that layers take either.

    Rotations by other angles than multiples of 90° do not map the pixel grid to itself. A group that has some is
    approximate beyond the subgroup `FiniteGroup.exact`, and says so once, with an `ApproximateGroupWarning`.

    Args:
        name: ``"z2"``, ``"p4"``, ``"p4m"``; ``"c8"`` or any ``"c<N>"``, N rotations; ``"d8"`` or any ``"d<N>"``, N
            rotations and N mirrorings, N up to 360; or a `FiniteGroup` of your own. ``"c1"``, ``"c4"`` and ``"d4"`` are
            z2, p4 and p4m.

    Raises:
        TypeError: if the argument is neither.
        ValueError: if the name is unknown; the message offers the nearest.

    Example:
        >>> group("p4m").order, group("d4").name, group("c8").exact.name
        (8, 'p4m', 'p4')
    """
    if isinstance(name, FiniteGroup):
        return name
    if not isinstance(name, str):
        raise TypeError(f"group (={name!r}) must be a name such as 'p4' or a FiniteGroup")
    if found := _GROUPS.get(_SAME_AS.get(name, name)):
        return found()
    if match := re.fullmatch(r"([cd])([1-9][0-9]*)", name):
        count = int(match[2])
        if count > MAX_ROTATIONS:
            raise ValueError(f"group {name!r} has more than {MAX_ROTATIONS} rotations; take fewer, such as 'c16'")
        return _FAMILIES[match[1]](count)
    raise ValueError(_unknown(name))


def _unknown(name: str) -> str:
    """What is wrong with a name, and what may be meant."""
    wanted = name.strip().lower()
    if not (wanted in _GROUPS or re.fullmatch(r"[cd][1-9][0-9]{0,2}", wanted)):
        near = difflib.get_close_matches(wanted, [*_GROUPS, *_SAME_AS], n=1, cutoff=0.4)
        wanted = near[0] if near else ""
    hint = f" did you mean {_SAME_AS.get(wanted, wanted)!r}?" if wanted else ""
    known = ", ".join(repr(known) for known in _GROUPS)
    return (
        f"unknown group {name!r}:{hint} Known are {known}, and 'cN' and 'dN', as 'c8' for 8 rotations and 'd8' for "
        "these with mirrorings; a group of your own is attentive_gconv.groups.FiniteGroup(name, matrices)"
    )
