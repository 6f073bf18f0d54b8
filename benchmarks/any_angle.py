r"""Equivariance error over the angle: a layer, a four-layer network and its attention maps, on C4, C8 and C16.

    python benchmarks/any_angle.py --mnist DIR/t10k-images-idx3-ubyte.gz --out benchmarks/results/any-angle.json \
        [--orders 4 8 16] [--others escnn-angles.json] [--figure docs/figures/any-angle.png]

    E(θ) = rms( P Φ(R_θ x) - R_θ P Φ(x) ) / std( P Φ(x) )     inside the disc that no rotation moves out

All are exact at multiples of 90°, so that E(θ + 90°) = E(θ): a quarter is measured, and a point of the next to check.
P is the maximum over poses, so that E is defined for every θ; what a finer group gains lies between its own angles,
too. Images are 41 x 41: smooth ones, sums of Gaussian spots, of which R_θ x is sampled anew; and digits of MNIST, which
R_θ turns by splines of order five, as it turns every map P Φ(x). Each E is the mean over images and random weights.

    layer       lifting convolution 5x5
    network     lifting and three group convolutions 5x5, each with batch norm (of the unturned images) and relu
    attention   the same with input attention: what the attention of the last layer keeps

    layer, network of escnn's weights    ours, with the weights that escnn drew

With --orders only these groups are measured, and the rest is kept from the file.

Other libraries, and the last: ``--others FILE``, of the same form, as benchmarks/escnn_angles.py writes it.
"""

import argparse
import gzip
import json
import math
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

import attentive_gconv as ag
from attentive_gconv.files import write_json
from attentive_gconv.groups import ApproximateGroupWarning
from provenance import published_environment

SIDE, CHANNELS, STEP, SEEDS = 41, 3, 5.625, range(4)
ORDERS = (4, 8, 16)
OWN = ("layer", "network", "attention")
Module = Callable[[Tensor], Tensor]


def spots(degrees: float, count: int = 2) -> Tensor:
    """Smooth images turned by an angle, ``(B, 1, Y, X)``: Gaussian spots, sampled where the angle takes them."""
    random = np.random.RandomState(0)
    centres = torch.from_numpy(random.uniform(-7.5, 7.5, (count, 8, 2)))
    heights = torch.from_numpy(random.uniform(0.3, 1.0, (count, 8, 1, 1)))
    angle = math.radians(degrees)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    centres = (centres @ turn.T)[..., None, None]
    line = torch.arange(SIDE, dtype=torch.float64) - (SIDE - 1) / 2
    distance = (line[:, None] - centres[:, :, 0]) ** 2 + (line - centres[:, :, 1]) ** 2
    return (heights * torch.exp(-distance / (2 * 1.5**2))).sum(1, keepdim=True)


def rotate(maps: Tensor, degrees: float) -> Tensor:
    """Turn maps ``(..., Y, X)`` counter-clockwise: quarters exactly, the rest by splines."""
    quarters, rest = divmod(degrees, 90.0)
    if rest:
        turned = ndimage.rotate(maps.numpy(), rest, axes=(-1, -2), reshape=False, order=5, mode="constant")
        maps = torch.from_numpy(turned)
    return torch.rot90(maps, int(quarters) % 4, (-2, -1))


def digits(path: Path, count: int = 2) -> Tensor:
    """The first digits of a file of MNIST, with a border, ``(B, 1, Y, X)``."""
    pixels = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=16).reshape(-1, 28, 28)[:count]
    images = torch.from_numpy(pixels.astype(np.float64) / 255)[:, None]
    return nn.functional.pad(images, (6, 7, 6, 7))


def error(module: Module, image_at: Callable[[float], Tensor], angles: list[float]) -> list[float]:
    """E at every angle."""
    offset = torch.arange(SIDE) - (SIDE - 1) / 2
    inside = offset[:, None] ** 2 + offset**2 <= (SIDE / 2 - 3) ** 2
    with torch.no_grad():
        straight = module(image_at(0.0))
        scale = (straight[..., inside] - straight[..., inside].mean(-1, keepdim=True)).square().mean().sqrt()
        return [
            float((module(image_at(angle)) - rotate(straight, angle))[..., inside].square().mean().sqrt() / scale)
            for angle in angles
        ]


def network(
    group: ag.FiniteGroup, draw: Callable[[nn.Parameter], object] | None = None, *, attention: bool
) -> nn.Module:
    """Four layers, with initial weights or those that ``draw`` puts in their place."""
    model, options = nn.Sequential(), {"padding": 2, "dtype": torch.float64}
    layer = ag.nn.InputAttentiveGroupConv2d if attention else ag.nn.GroupConv2d
    for i in range(4):
        conv = (layer if i else ag.nn.LiftingConv2d)(group, CHANNELS if i else 1, CHANNELS, 5, **options)
        if draw is not None:
            draw(conv.weight)
        model.extend([conv, ag.nn.GroupBatchNorm2d(CHANNELS, momentum=None, dtype=torch.float64), nn.ReLU()])
    with torch.no_grad():
        model(spots(0.0))
    return model.eval()


def modules(order: int, seed: int) -> dict[str, Module]:
    """The layer, the network and the attention of a group, from planar images to planar maps."""
    torch.manual_seed(seed)
    group = ag.group(f"c{order}")
    lifting = ag.nn.LiftingConv2d(group, 1, CHANNELS, 5, padding=2, dtype=torch.float64).eval()
    deep = network(group, attention=False)
    attentive = network(group, attention=True)

    def kept(x: Tensor) -> Tensor:
        maps = ag.attention_maps(attentive, x, parts=False)
        return list(maps.values())[-1].amax(2)

    return {"layer": lambda x: lifting(x).amax(2), "network": lambda x: deep(x).amax(2), "attention": kept}


def measure(
    make: Callable[[int, int], dict[str, Module]],
    images: dict[str, Callable[[float], Tensor]],
    orders: Iterable[int] = ORDERS,
) -> list[dict[str, Any]]:
    """A curve for each group, module and kind of image."""
    quarter = [STEP * i for i in range(round(90 / STEP))]
    angles = [STEP * i for i in range(4 * len(quarter) + 1)]
    rows = []
    for order in orders:
        made = [make(order, seed) for seed in SEEDS]
        for name in made[0]:
            for kind, image_at in images.items():
                curves = np.array([error(each[name], image_at, [*quarter, 90 + quarter[1]]) for each in made])
                assert np.allclose(curves[:, 1], curves[:, -1], rtol=1e-3)
                errors = [*np.tile(curves[:, :-1].mean(0), 4).tolist(), 0.0]
                rows.append({"group": f"c{order}", "module": name, "images": kind, "angles": angles, "errors": errors})
    return rows


def is_own(row: dict[str, Any]) -> bool:
    """Whether a curve is measured here, and not read from another library's file."""
    return "library" not in row and row["module"] in OWN


def images_of(mnist: Path) -> dict[str, Callable[[float], Tensor]]:
    """Both kinds of image, as functions of the angle."""
    pictures = digits(mnist)
    return {"smooth": spots, "digits": lambda degrees: rotate(pictures, degrees)}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """A panel for each module and kind of image; the other library's curves are dotted."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.6), layout="constrained")
    grid = figure.subplots(2, 3, sharex=True, sharey="col")
    colours = dict(zip(("c4", "c8", "c16"), ("tab:red", "tab:blue", "tab:green"), strict=True))
    for line, kind in zip(grid, ("smooth", "digits"), strict=True):
        for axes, module in zip(line, ("layer", "network", "attention"), strict=True):
            for row in rows:
                if (row["module"], row["images"]) == (module, kind):
                    other = row.get("library")
                    label = f"{row['group'].upper()}{f', {other}' if other else ''}"
                    style = {"ls": ":" if other else "-", "lw": 1.3, "label": label}
                    axes.plot(row["angles"], row["errors"], color=colours[row["group"]], **style)
            axes.set_title(f"{module}, {kind}", fontsize="small")
            axes.set_xticks(range(0, 361, 90))
            axes.grid(alpha=0.3)
    grid[0, 0].legend(fontsize="x-small", ncols=2)
    figure.supxlabel("angle in degrees", fontsize="small")
    figure.supylabel("equivariance error", fontsize="small")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    """Measure, print, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, required=True, help="t10k-images-idx3-ubyte.gz")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--orders", type=int, nargs="*", default=ORDERS, help="of the groups to measure")
    parser.add_argument("--others", type=Path, help="curves of another library; those of the file are kept without it")
    parser.add_argument("--figure", type=Path, help="PNG file to draw")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ApproximateGroupWarning)
    kept = json.loads(arguments.out.read_text(encoding="utf-8"))["rows"] if arguments.out.exists() else []
    rows = [row for row in kept if is_own(row) and int(row["group"][1:]) not in arguments.orders]
    rows += measure(modules, images_of(arguments.mnist), arguments.orders)
    rows.sort(key=lambda row: (OWN.index(row["module"]), int(row["group"][1:])))
    others = json.loads(arguments.others.read_text(encoding="utf-8"))["rows"] if arguments.others else kept
    rows += [row for row in others if not is_own(row)]
    write_json(arguments.out, {"rows": rows, "environment": published_environment()})
    for row in rows:
        errors = np.array(row["errors"])
        print(
            f"{row.get('library', 'ours'):<6} {row['group']:<4} {row['module']:<10} {row['images']:<7} "
            f"mean {errors.mean():.4f}  largest {errors.max():.4f}"
        )
    if arguments.figure:
        draw(rows, arguments.figure)


if __name__ == "__main__":
    main()
