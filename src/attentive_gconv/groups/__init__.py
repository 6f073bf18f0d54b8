"""Finite groups of rotations and mirrorings of the plane, by name: exact on the pixel grid, or interpolating."""

import difflib
import re

from attentive_gconv.groups.finite import ApproximateGroupWarning, FiniteGroup
from attentive_gconv.groups.planar import MAX_ROTATIONS, cyclic, dihedral, p4, p4m, z2

__all__ = ["ApproximateGroupWarning", "FiniteGroup", "group", "list_groups"]

_GROUPS = {"z2": z2, "p4": p4, "p4m": p4m}
_SAME_AS = {"c1": "z2", "c4": "p4", "d4": "p4m", "p1": "z2", "p4mm": "p4m"}
_FAMILIES = {"c": cyclic, "d": dihedral}


def list_groups() -> list[str]:
    """Names of the paper's groups. `group` also accepts ``"c<N>"`` and ``"d<N>"``.

    Example:
        >>> list_groups()
        ['z2', 'p4', 'p4m']
    """
    return list(_GROUPS)


def group(name: str | FiniteGroup) -> FiniteGroup:
    """Get a group by name. A `FiniteGroup` is returned unchanged, so that layers accept either.

    Rotations by other angles than multiples of 90° do not map the pixel grid to itself. A group that has some is
    approximate beyond the subgroup `FiniteGroup.exact`, and says so once, with an `ApproximateGroupWarning`.

    Args:
        name: ``"z2"``, ``"p4"``, ``"p4m"``; ``"c8"`` or any ``"c<N>"``, N rotations; ``"d8"`` or any ``"d<N>"``, N
            rotations and N mirrorings, N up to 360; or a `FiniteGroup` of your own. ``"c1"``, ``"c4"`` and ``"d4"`` are
            z2, p4 and p4m.

    Raises:
        TypeError: if the argument is neither a name nor a `FiniteGroup`.
        ValueError: if the name is unknown; the message suggests the group that goes by it elsewhere, if there is one.

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
            fewer = f"{match[1]}16"
            raise ValueError(f"group {name!r} has more than {MAX_ROTATIONS} rotations; take fewer, such as {fewer!r}")
        return _FAMILIES[match[1]](count)
    raise ValueError(_unknown(name))


def _unknown(name: str) -> str:
    """The error message for an unknown name; it suggests the group that is probably meant."""
    meant = _meant(re.sub(r"[\s_()\[\]]", "", name).lower())
    hint = f" did you mean {meant!r}?" if meant else ""
    known = ", ".join(repr(known) for known in _GROUPS)
    return (
        f"unknown group {name!r}:{hint} Known are {known}, and 'cN' and 'dN' for N from 1 to {MAX_ROTATIONS}, as 'c8' "
        "for 8 rotations and 'd8' for these with mirrorings; a group of your own is, in Python, "
        "attentive_gconv.groups.FiniteGroup(name, matrices), and on the command line it comes with a network of your "
        "own (--import)"
    )


def _meant(name: str) -> str | None:
    """The group that goes by this name elsewhere: the number of its rotations is what counts, not the spelling."""
    if found := re.fullmatch(r"(c|z|p|cyclic|d|dihedral|so|o)([0-9]{1,3})(m{0,2}|v)", name):
        family, count = found[1], int(found[2])
        if family in ("so", "o"):  # all angles
            return {("so", 2): "c16", ("o", 2): "d16"}.get((family, count))
        if not 1 <= count <= MAX_ROTATIONS:
            return None
        near = f"{'d' if family.startswith('d') or found[3] else 'c'}{count}"
    else:
        near = next(iter(difflib.get_close_matches(name, [*_GROUPS, *_SAME_AS], n=1, cutoff=0.6)), "")
    return _SAME_AS.get(near, near) or None
