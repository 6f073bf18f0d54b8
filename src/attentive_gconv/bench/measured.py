"""Results of measurements: one case, its samples, and the ratio to its baseline."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from attentive_gconv.bench.cases import Case
from attentive_gconv.bench.timing import Quartiles, quartiles


@dataclass
class Figure:
    """Samples in `unit` (seconds a call, or bytes), one a round; or the error that there are none.

    `ratio` is to the baseline of the same rounds; `extra` (memory) is what the median is above the baseline's.
    `page_faults` and `calls` say how many pages a call faulted in, by round, and how many calls made a sample;
    `method` how memory was counted.
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
        """Of the samples."""
        return quartiles(self.samples)

    def failed(self, error: str) -> "Figure":
        """The figure that could not be had."""
        return replace(self, error=error, samples=[])

    def to_mapping(self) -> dict[str, Any]:
        """As plain values, the quartiles spelt out."""
        return {
            **asdict(self),
            "label": self.case.label(),
            "quartiles": None if self.error else self.quartiles._asdict(),
            "ratio": None if self.ratio is None else self.ratio._asdict(),
        }

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "Figure":
        """What `to_mapping` gave."""
        given = {name: value for name, value in values.items() if name not in ("label", "quartiles")}
        given["case"] = Case(**given["case"])
        given["ratio"] = None if given["ratio"] is None else Quartiles(**given["ratio"])
        return cls(**given)


def select(figures: Iterable[Figure], **wanted: Any) -> list[Figure]:
    """Select figures by attributes of theirs or of their case."""

    def value(figure: Figure, name: str) -> Any:
        return getattr(figure, name) if hasattr(figure, name) else getattr(figure.case, name)

    return [figure for figure in figures if all(value(figure, name) == value_ for name, value_ in wanted.items())]
