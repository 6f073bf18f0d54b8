"""Growth of cost with a size: the exponent of a power law, and its plot."""

import math
from collections.abc import Sequence
from pathlib import Path

from attentive_gconv.bench.measured import Figure

AXES = {
    "batch": lambda figure: figure.case.batch,
    "pixels": lambda figure: math.prod(figure.case.sizes()["image_size"]),
    "channels": lambda figure: figure.case.sizes()["out_channels"],
}
Series = dict[str, tuple[list[float], list[float]]]


def series(figures: Sequence[Figure], what: str, axis: str) -> Series:
    """Sizes and medians by label, in order of size; figures that failed or are not positive are left out."""
    found: Series = {}
    usable = [f for f in figures if f.what == what and not f.error and f.quartiles.median > 0]
    for figure in sorted(usable, key=AXES[axis]):
        sizes, medians = found.setdefault(figure.case.label(), ([], []))
        sizes.append(AXES[axis](figure))
        medians.append(figure.quartiles.median)
    return found


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The slope p of log cost over log size, by least squares: cost grows as size to the power p.

    Raises:
        ValueError: if there are fewer than two different sizes.

    Example:
        >>> exponent([1, 2, 4], [3.0, 12.0, 48.0])
        2.0
    """
    if len(set(sizes)) < 2:
        raise ValueError(f"an exponent needs at least two different sizes, got {list(sizes)}")
    x, y = ([math.log2(value) for value in values] for values in (sizes, costs))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return slope / sum((a - mean_x) ** 2 for a in x)


def sentences(figures: Sequence[Figure], axis: str) -> list[str]:
    """What the exponents are, in words."""
    lines = []
    for what, noun in (("train", "time"), ("memory", "memory")):
        for label, (sizes, costs) in series(figures, what, axis).items():
            if len(sizes) > 1:
                range_ = f"from {sizes[0]:,.0f} to {sizes[-1]:,.0f} {axis}".replace(" batch", " images a batch")
                lines.append(f"{label}: {noun} grows with exponent {exponent(sizes, costs):.2f} {range_}.")
    return lines


def plot(figures: Sequence[Figure], axis: str, title: str, path: Path) -> None:
    """Time and memory of a training step over the size, both axes logarithmic, dashed where growth is linear.

    Raises:
        ImportError: without matplotlib; the message says what to install.
    """
    try:
        from matplotlib.figure import Figure as Canvas
    except ImportError as error:
        raise ImportError(f"plots need matplotlib ({error}): pip install 'attentive-gconv[train]'") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas = Canvas(figsize=(8, 3.4), layout="constrained")
    panels = (("train", 1e-3, "training step, ms"), ("memory", 1e6, "peak memory, MB"))
    for axes, (what, unit, label) in zip(canvas.subplots(1, 2), panels, strict=True):
        for number, (name, (sizes, costs)) in enumerate(series(figures, what, axis).items()):
            scaled = [cost / unit for cost in costs]
            axes.plot(sizes, scaled, "o-", color=f"C{number}", label=name)
            axes.plot(sizes, [scaled[-1] * size / sizes[-1] for size in sizes], "--", color=f"C{number}", linewidth=0.8)
        axes.set(xscale="log", yscale="log", xlabel=axis, ylabel=label)
        axes.set_xticks(sorted({AXES[axis](figure) for figure in figures}), minor=False)
        axes.minorticks_off()
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.legend()
    canvas.suptitle(title, fontsize="medium")
    # no date and no version: the same figures give the same file
    canvas.savefig(path, dpi=90, metadata={"Software": None})
