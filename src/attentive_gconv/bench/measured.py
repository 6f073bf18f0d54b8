"""Results of measurements: a case, its samples, and their ratio to a baseline."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from attentive_gconv.bench.cases import Case
from attentive_gconv.bench.timing import Quartiles, quartiles


@dataclass
class Figure:
    """Samples of a case in `unit` (seconds for each call, or bytes), one for each round; or the error instead.

    `ratio` is to the baseline in the same rounds; `extra` (memory) is the difference of the medians. `calls` is the
    number of calls in a sample, `page_faults` the page faults of a call by round; `method` is how memory was counted.
    """

    case: Case
    what: str
    allocator: str = "default"
    instructions: str = "native"
    unit: str = "s"
    samples: list[float] = field(default_factory=list)
    calls: int | None = None
    page_faults: list[float] | None = None
    method: str | None = None
    baseline: str | None = None
    ratio: Quartiles | None = None
    extra: float | None = None
    error: str | None = None

    @property
    def quartiles(self) -> Quartiles:
        """Quartiles of the samples."""
        return quartiles(self.samples)

    def failed(self, error: str) -> "Figure":
        """The figure of a failed measurement."""
        return replace(self, error=error, samples=[])

    def to_mapping(self) -> dict[str, Any]:
        """The figure as plain values, with its quartiles."""
        return {
            **asdict(self),
            "label": self.case.label(),
            "quartiles": None if self.error else self.quartiles._asdict(),
            "ratio": None if self.ratio is None else self.ratio._asdict(),
        }

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "Figure":
        """The figure from the result of `to_mapping`."""
        given = {name: value for name, value in values.items() if name not in ("label", "quartiles")}
        given["case"] = Case(**given["case"])
        given["ratio"] = None if given["ratio"] is None else Quartiles(**given["ratio"])
        return cls(**given)


def select(figures: Iterable[Figure], **wanted: Any) -> list[Figure]:
    """Select figures by their attributes or those of their case."""

    def value(figure: Figure, name: str) -> Any:
        return getattr(figure, name) if hasattr(figure, name) else getattr(figure.case, name)

    return [figure for figure in figures if all(value(figure, name) == value_ for name, value_ in wanted.items())]
