"""The figure of docs/explanation/irreps.md: a correlation on p4m as a matrix, before and after the Fourier transform.

python benchmarks/irreps_figure.py docs/figures/irreps.png
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import attentive_gconv as ag
from attentive_gconv.functional import fourier_matrix, real_irreps


def draw(path: Path) -> None:
    """Draw both matrices."""
    group = ag.group("p4m")
    order, transform = group.order, fourier_matrix(group).numpy()
    numbers = np.array([[group.product(group.inverse(g), s) for s in range(order)] for g in range(order)])
    values = np.random.default_rng(0).normal(size=order)
    blocks = transform @ values[numbers] @ transform.T
    figure, axes = plt.subplots(1, 2, figsize=(7, 3.4), layout="constrained")
    axes[0].imshow(numbers, cmap="tab10", vmax=9)
    names = [group.element_name(s) for s in range(order)]
    axes[0].set_xticks(range(order), names, rotation=90)
    axes[0].set_yticks(range(order), names)
    axes[0].set(xlabel="pose s of the input", ylabel="pose g of the output", title="w(g⁻¹s): 64 products")
    colour = np.full(blocks.shape, np.nan)
    start = 0
    for i, irrep in enumerate(real_irreps(group)):
        for _ in range(irrep.rows):
            part = slice(start, start + irrep.dimension)
            colour[part, part] = i
            start += irrep.dimension
    assert np.abs(blocks[np.isnan(colour)]).max() < 1e-12
    axes[1].imshow(colour, cmap="Set2", vmax=7)
    sizes = [irrep.dimension for irrep in real_irreps(group) for _ in range(irrep.rows * irrep.dimension)]
    axes[1].set_xticks(range(order), [f"{size}" for size in sizes])
    axes[1].set_yticks(range(order), [f"{size}" for size in sizes])
    axes[1].set(xlabel="dimension of the representation", title="after the transform: 12 products")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
