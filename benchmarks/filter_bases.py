r"""Which kernels turn best by 45°: interpolated ones, Gaussian rings, or rings sampled by optimal interpolation.

    python benchmarks/filter_bases.py --mnist DIR/train-images-idx3-ubyte.gz --out benchmarks/results/filter-bases.json

A kernel is A·w, A a k² x P matrix and w its weights; turned by 45° it is A'·w. On an image f with the autocorrelation
c, for random w, the response at the centre errs by

    E = rms( (A'w)·(L f) - (Aw)·f ) / rms( (Aw)·f ),   E[f(s)·f(t)] = c(|s - t|)

which c gives in closed form: no image is turned, nothing but the kernel interpolates. c is that of smooth images,
exp(-d²/2ℓ²) for ℓ of 1.5 pixels, that of rough ones, as maps inside a network are, ℓ of 0.7, or that of MNIST's
digits.

    bilinear, bicubic    k² values, read off at turned places; in the disc only, or with the corners
    gaussian             circular harmonics on Gaussian rings at the pixels (escnn: σ = 0.6, outermost 0.4,
                         the centre a single pixel)
    optimal              the same harmonics on rings, sampled by optimal interpolation, slightly blurred: the library's
"""

import argparse
import gzip
import math
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor

import attentive_gconv as ag
from attentive_gconv.files import write_json
from attentive_gconv.functional import ring_filters
from attentive_gconv.functional.ring_filters import filter_basis, ring_frequencies
from attentive_gconv.groups import ApproximateGroupWarning
from provenance import published_environment

Correlation = Callable[[Tensor], Tensor]
Pair = tuple[Tensor, Tensor]
TURN = ((0.5**0.5, -(0.5**0.5)), (0.5**0.5, 0.5**0.5))
SIZES = (3, 4, 5, 7, 9)


def offsets(kernel_size: int) -> Tensor:
    """Centred (y, x) of the kernel's entries."""
    line = torch.arange(kernel_size, dtype=torch.float64) - (kernel_size - 1) / 2
    return torch.cartesian_prod(line, line)


def smooth(length: float) -> Correlation:
    """The autocorrelation of smooth images."""
    return lambda distance: torch.exp(-(distance**2) / (2 * length**2))


def of_digits(path: Path, count: int = 4000) -> Correlation:
    """The autocorrelation of MNIST's digits, averaged over all directions."""
    pixels = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=16).reshape(-1, 28, 28)[:count]
    images = torch.from_numpy(pixels.astype(np.float64) / 255)
    padded = torch.nn.functional.pad(images - images.mean(), (14, 14, 14, 14))
    power = torch.fft.fft2(padded).abs().square().mean(0)
    frequency = torch.fft.fftfreq(56, dtype=torch.float64)
    radius = (frequency[:, None] ** 2 + frequency**2).sqrt()
    edges = torch.linspace(0, 0.5, 29, dtype=torch.float64)
    centres = (edges[1:] + edges[:-1]) / 2
    rings = torch.stack([power[(radius >= a) & (radius < b)].mean() for a, b in pairwise(edges)])
    weights = rings * centres / (rings * centres).sum()
    return lambda distance: (weights * torch.special.bessel_j0(2 * math.pi * centres * distance[..., None])).sum(-1)


def error(kernels: Pair, kernel_size: int, correlation: Correlation) -> float:
    """E for independent weights of the same variance."""
    straight, turned = kernels
    grid, matrix = offsets(kernel_size), torch.tensor(TURN, dtype=torch.float64)
    same = correlation(torch.cdist(grid, grid))
    across = correlation(torch.cdist(grid, grid @ matrix.T))  # the turned image at t is f at M⁻¹t
    total = (straight * (same @ straight)).sum()
    difference = (turned * (same @ turned)).sum() - 2 * (turned * (across @ straight)).sum() + total
    return math.sqrt(max(0.0, float(difference / total)))


def interpolated(kernel_size: int, kind: str, *, disc: bool) -> Pair:
    """Kernels of k² values, or of those in the disc."""
    grid = offsets(kernel_size)
    source = grid @ torch.tensor(TURN, dtype=torch.float64)

    def kernel(d: Tensor) -> Tensor:
        d = d.abs()
        if kind == "bilinear":
            return (1 - d).clamp(min=0)
        near, far = (1.5 * d - 2.5) * d**2 + 1, ((-0.5 * d + 2.5) * d - 4) * d + 2
        return torch.where(d <= 1, near, torch.where(d < 2, far, torch.zeros_like(d)))

    turned = kernel(source[:, None, 0] - grid[:, 0]) * kernel(source[:, None, 1] - grid[:, 1])
    kept = grid.norm(dim=1) <= (kernel_size - 1) / 2 + 0.01 if disc else torch.ones(len(grid), dtype=torch.bool)
    return torch.eye(len(grid), dtype=torch.float64)[:, kept], turned[:, kept]


def gaussian_rings(kernel_size: int, places: Tensor) -> Tensor:
    """Circular harmonics on Gaussian rings at some places ``(T, 2)``, ``(T, P)``; escnn's widths, for odd sizes."""
    radii = [ring for ring, _ in ring_frequencies(kernel_size)]
    width = {**dict.fromkeys(radii, 0.6), radii[-1]: 0.4, 0.0: 0.005}
    radius, angle = places.norm(dim=1), torch.atan2(-places[:, 0], places[:, 1])
    columns = []
    for ring, highest in ring_frequencies(kernel_size):
        profile = torch.exp(-((radius - ring) ** 2) / (2 * width[ring] ** 2))
        columns.append(profile)
        off_centre = torch.where(radius < 1e-9, torch.zeros_like(profile), profile)
        for m in range(1, highest + 1):
            columns += [off_centre * (m * angle).cos(), off_centre * (m * angle).sin()]
    return torch.stack(columns, 1)


def gaussian(kernel_size: int) -> Pair:
    """Circular harmonics on Gaussian rings, at the pixels."""
    grid = offsets(kernel_size)
    straight, turned = (gaussian_rings(kernel_size, p) for p in (grid, grid @ torch.tensor(TURN, dtype=torch.float64)))
    norms = straight.norm(dim=0)
    return straight / norms, turned / norms


def optimal(kernel_size: int, blur: float = ring_filters.BLUR) -> Pair:
    """The library's, or the same with another blur."""
    with mock.patch.object(ring_filters, "BLUR", blur):
        basis = filter_basis(ag.group("c8"), kernel_size)
    assert basis is not None
    straight, turned = basis.unflatten(1, (2, kernel_size)).flatten(2).permute(1, 2, 0)
    norms = straight.norm(dim=0)
    return straight / norms, turned / norms


def candidates(kernel_size: int) -> dict[str, Pair]:
    """Everything that is compared, by name."""
    of_values = {
        f"{kind}{', disc' if disc else ''}": interpolated(kernel_size, kind, disc=disc)
        for kind in ("bilinear", "bicubic")
        for disc in (False, True)
    }
    rings = gaussian(kernel_size)
    return {
        **of_values,
        "gaussian rings, as in escnn": rings,
        "optimal, not blurred": optimal(kernel_size, 0.0),
        "optimal": optimal(kernel_size),
    }


def measure(images: dict[str, Correlation]) -> list[dict[str, object]]:
    """A row for each kernel size and candidate."""
    rows: list[dict[str, object]] = []
    for kernel_size in SIZES:
        for name, kernels in candidates(kernel_size).items():
            errors = {image: error(kernels, kernel_size, correlation) for image, correlation in images.items()}
            weights = kernels[0].shape[1]
            rows.append({"kernel_size": kernel_size, "kernels": name, "weights": weights, "errors": errors})
    return rows


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, required=True, help="train-images-idx3-ubyte.gz")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ApproximateGroupWarning)
    images = {"smooth": smooth(1.5), "rough": smooth(0.7), "digits": of_digits(arguments.mnist)}
    rows = measure(images)
    write_json(arguments.out, {"turn": "45°", "rows": rows, "environment": published_environment()})
    for row in rows:
        shown = "  ".join(f"{image} {value:.4f}" for image, value in row["errors"].items())  # type: ignore[attr-defined]
        print(f"{row['kernel_size']}x{row['kernel_size']} {row['kernels']:<28} {row['weights']:>3} weights  {shown}")


if __name__ == "__main__":
    main()
