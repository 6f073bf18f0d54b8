"""Grids of cases: each combination of sizes is one comparison of all names."""

import fnmatch
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from attentive_gconv.bench.cases import CONV2D, LAYERS, Case, has_full_attention, variants
from attentive_gconv.bench.jobs import Comparison
from attentive_gconv.lookup import find
from attentive_gconv.models import list_models, model_entry

T = TypeVar("T")


@dataclass(frozen=True)
class Sweep:
    """A grid of networks or layers over sizes; an empty list stands for the default size.

    `names` are networks or, for `kind` ``"group"`` and ``"lifting"``, layers; shell patterns are allowed.
    """

    names: Sequence[str]
    kind: str = "network"
    baseline: str | None = None
    batches: Sequence[int] = (16,)
    groups: Sequence[str] = ()
    channels: Sequence[int] = ()
    sides: Sequence[int] = ()
    methods: Sequence[str] = ()
    backends: Sequence[str] = ()
    recompute: Sequence[bool | None] = ()
    convs: Sequence[str] = ()

    def comparisons(self, template: Case) -> list[Comparison]:
        """All comparisons; values that the sweep does not set are the template's.

        Raises:
            ValueError: if a name, size or implementation is unknown, or an option applies to none of the names.
        """
        names = expand(self.names, self.kind)
        if any((self.methods, self.backends, self.recompute)) and not any(
            has_full_attention(self.kind, name) for name in names
        ):
            raise ValueError(
                f"--method, --backend and --recompute configure full attention, which none of {', '.join(names)} has"
            )
        if self.baseline is not None:
            _find_name(self.baseline, self.kind)
            names = [self.baseline, *(name for name in names if name != self.baseline)]
        found = []
        over: dict[str, Sequence[Any]] = {
            "batch": self.batches,
            "group": self.groups or [None],
            "channels": self.channels or [None],
            "side": self.sides or [None],
        }
        for combination in itertools.product(*over.values()):
            sizes = dict(zip(over, combination, strict=True))
            cases: list[Case] = []
            for name in names:
                case = replace(template, name=name, kind=self.kind, **sizes)
                forms = self.convs if self.convs and name != CONV2D else [None]
                for conv in forms:
                    cases += variants(replace(case, conv=conv), self.methods, self.backends, self.recompute)
            found.append(Comparison(tuple(case.check() for case in cases), has_baseline=self.baseline is not None))
        return found


def expand(patterns: Iterable[str], kind: str) -> list[str]:
    """The networks or layers of these names and shell patterns, each once.

    Raises:
        ValueError: if a name is unknown or a pattern matches nothing.

    Example:
        >>> expand(["p4cnn", "alpha_*p4cnn"], "network")[:3]
        ['p4cnn', 'alpha_ch_p4cnn', 'alpha_f_p4cnn']
    """
    names: dict[str, None] = {}
    for pattern in patterns:
        matches = list_models(pattern) if kind == "network" else [n for n in LAYERS if fnmatch.fnmatchcase(n, pattern)]
        if not matches and any(sign in pattern for sign in "*?["):
            where = "`agconv models` lists them" if kind == "network" else f"there are {', '.join(LAYERS)}"
            raise ValueError(f"no {'network' if kind == 'network' else 'layer'} matches {pattern!r}; {where}")
        if not matches:
            _find_name(pattern, kind)
        names.update(dict.fromkeys(matches))
    if not names:
        raise ValueError("nothing to measure: name networks with --models or layers with --layers")
    return list(names)


def _find_name(name: str, kind: str) -> None:
    if kind == "network":
        model_entry(name)
    else:
        find("layer", name, LAYERS)


def values(texts: Iterable[str], option: str, convert: type[T]) -> list[T]:
    """Values of an option that may be repeated and may list several values, separated by commas.

    Raises:
        ValueError: if a value has another type.

    Example:
        >>> values(["16,64", "128"], "--batch-sizes", int)
        [16, 64, 128]
    """
    found: list[T] = []
    for text in texts:
        for part in filter(None, (part.strip() for part in text.split(","))):
            try:
                found.append(convert(part))  # type: ignore[call-arg]
            except ValueError as error:
                raise ValueError(
                    f"{option} {text!r}: {part!r} is not {'an integer' if convert is int else convert.__name__}"
                ) from error
    return list(dict.fromkeys(found))
