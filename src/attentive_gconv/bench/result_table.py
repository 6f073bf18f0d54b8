"""Tables of figures, for the terminal and as Markdown: a row for each case, one or two columns for each measurement."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attentive_gconv.bench.cases import Case
from attentive_gconv.bench.measured import Figure
from attentive_gconv.bench.timing import Quartiles

_SIZES: dict[str, Callable[[Case], object]] = {
    "kind": lambda case: case.kind,
    "batch": lambda case: case.batch,
    "group": lambda case: case.sizes()["group"],
    "channels": lambda case: case.channels or case.sizes().get("out_channels") or "own",
    "in": lambda case: case.sizes()["in_channels"],
    "image": lambda case: " x ".join(map(str, case.sizes()["image_size"])),
    "kernel": lambda case: case.kernel_size,
    "dtype": lambda case: case.dtype,
    "device": lambda case: case.device,
}
MISSING = "–"
Settings = tuple[str, str, str]  # what is measured, allocator, instructions


@dataclass(frozen=True)
class Table:
    """Headings and cells as text."""

    headings: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        """The table as Markdown, with numbers aligned right."""
        rule = ["---", *["---:"] * (len(self.headings) - 1)]
        return "\n".join(f"| {' | '.join(row)} |" for row in [self.headings, rule, *self.rows]) + "\n"


@dataclass(frozen=True)
class Unit:
    """A unit, and its size in seconds or bytes."""

    name: str
    size: float


def table(figures: Sequence[Figure]) -> Table:
    """Make a table of figures; sizes that are equal in all of them are left out."""
    rows: dict[tuple[Case, str | None], list[Figure]] = {}
    baselines = {(figure.case, figure.baseline) for figure in figures if figure.baseline}
    for figure in figures:
        # a case may occur in several comparisons, with different baselines
        known = [key for key in baselines if key[0] == figure.case]
        rows.setdefault((figure.case, figure.baseline or (known[0][1] if known else None)), []).append(figure)
    varying = {name: size for name, size in _SIZES.items() if len({str(size(figure.case)) for figure in figures}) > 1}
    kinds = {"network" if figure.case.kind == "network" else "layer" for figure in figures}
    headings, columns = [" or ".join(sorted(kinds, reverse=True)), *varying], _columns(figures)
    headings += [heading for heading, _ in columns]
    cells = [
        [case.label(), *(str(size(case)) for size in varying.values()), *(cell(found) for _, cell in columns)]
        for (case, _), found in rows.items()
    ]
    return Table(headings, cells)


def _columns(figures: Sequence[Figure]) -> list[tuple[str, Callable[[list[Figure]], str]]]:
    """Headings, each with a function from the figures of a row to its cell."""
    columns: list[tuple[str, Callable[[list[Figure]], str]]] = []
    for settings in dict.fromkeys(map(_settings, figures)):
        what = settings[0]
        mine = [figure for figure in figures if _settings(figure) == settings]
        unit = _unit(mine)
        setting = _shown(settings, figures)

        def value(row: list[Figure], settings: Settings = settings, unit: Unit = unit) -> str:
            found = _find(row, settings)
            return MISSING if found is None else found.error or _spread(_scaled(found, unit))

        def ratio(row: list[Figure], settings: Settings = settings) -> str:
            found = _find(row, settings)
            return MISSING if found is None or found.ratio is None else _spread(found.ratio, 2)

        def extra(row: list[Figure], settings: Settings = settings, unit: Unit = unit) -> str:
            found = _find(row, settings)
            return MISSING if found is None or found.extra is None else number(found.extra / unit.size)

        names = {figure.baseline for figure in mine if figure.baseline}
        baseline = names.pop() if len(names) == 1 else "baseline"
        compared = any(figure.baseline for figure in mine)
        if what == "memory":
            columns.append((f"peak, {unit.name}{setting}", value))
            columns += [(f"over {baseline}, {unit.name}{setting}", extra)] if compared else []
        else:
            what_of = "step" if what == "train" else "inference per sample"
            columns.append((f"{what_of}, {unit.name}{setting}", value))
            columns += [(f"x {baseline}{setting}", ratio)] if compared else []
    return columns


def _settings(figure: Figure) -> Settings:
    return figure.what, figure.allocator, figure.instructions


def _shown(settings: Settings, figures: Sequence[Figure]) -> str:
    """Allocator and instructions of a column, if they differ between the columns."""
    of_all = zip(*map(_settings, figures), strict=True)
    notes = [own for own, seen in list(zip(settings, of_all, strict=True))[1:] if len(set(seen)) > 1]
    return f" ({', '.join(notes)})" if notes else ""


def _find(row: list[Figure], settings: Settings) -> Figure | None:
    return next((figure for figure in row if _settings(figure) == settings), None)


def _unit(figures: list[Figure]) -> Unit:
    """A unit that suits the smallest figure."""
    smallest = min((_per_sample(figure, figure.quartiles.median) for figure in figures if not figure.error), default=0)
    if figures[0].what == "memory":
        return Unit("GiB", 2**30) if smallest >= 2**30 else Unit("MB", 1e6)
    return Unit("s", 1.0) if smallest >= 1 else Unit("ms", 1e-3)


def _per_sample(figure: Figure, value: float) -> float:
    return value / figure.case.batch if figure.what == "inference" else value


def _scaled(figure: Figure, unit: Unit) -> Quartiles:
    return Quartiles(*(_per_sample(figure, value) / unit.size for value in figure.quartiles))


def number(value: float) -> str:
    """Format a number with three significant digits, without exponent.

    Example:
        >>> [number(value) for value in (0.01234, 1.5, 26.04, 3022.4)]
        ['0.0123', '1.5', '26', '3,022']
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _spread(found: Quartiles, decimals: int | None = None) -> str:
    """Median, with the quartiles if they differ."""
    texts = [number(value) if decimals is None else f"{value:.{decimals}f}" for value in found]
    return texts[1] if texts[0] == texts[2] else f"{texts[1]} ({texts[0]}–{texts[2]})"
