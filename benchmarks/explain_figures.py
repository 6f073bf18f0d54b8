"""The figures and the table of docs/guides/explain.md: what the authors' released networks attend to, on real digits.

    python benchmarks/explain_figures.py --checkpoints DIR --data-dir DIR --out docs/figures

`--checkpoints` holds the authors' `alpha_f_p4cnn.pth`, `alpha_p4cnn.pth` and `z2cnn.pth`; the digits are test images of
the re-made rot-MNIST (seed 0). Figures are of the image `--index`; the table is over the first `--images` of them:

    strokes, rim, ground   mean of the map where the pixel is above 0.5; within two pixels of that; elsewhere (disc)
    same for all           the part of a map's variation over places and poses that the average over all images has too
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import attentive_gconv as ag
from attentive_gconv.data import load_dataset
from attentive_gconv.visualize.attention_figures import layer_maps, new_figure, overview, rotation_sheet, save_figure
from attentive_gconv.visualize.display import Display
from attentive_gconv.visualize.explanation import resize
from attentive_gconv.visualize.turning import disc, full_turn

ATTENTIVE = ("alpha_f_p4cnn", "alpha_p4cnn")
DPI = 70


def figures(models: dict[str, nn.Module], image: Tensor, display: Display, out: Path) -> None:
    """Every figure of the page."""
    for name in ATTENTIVE:
        explanation = ag.explain(models[name], image)
        title = f"{name}: what the attention keeps"
        save_figure(overview(explanation, image, display, title), out / f"{name}-overview.png", DPI)
        save_figure(layer_maps(explanation, image, display, title), out / f"{name}-layers.png", DPI)
    for name in ("alpha_f_p4cnn", "z2cnn"):
        save_figure(rotation_sheet(models[name], image, display, title=name), out / f"{name}-rotations.png", DPI)
    figure = new_figure(6, 2.8)
    axes = figure.subplots()
    for name, model in models.items():
        turn = full_turn(model, image, 72, sense=display.sense())
        axes.plot(turn.degrees, turn.errors, label=name, lw=1.3)
    axes.set_xticks([0, 90, 180, 270, 360])
    axes.set_xlabel("angle in degrees")
    axes.set_ylabel("equivariance error")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    save_figure(figure, out / "turn.png", DPI)


def regions(images: Tensor, display: Display) -> dict[str, Tensor]:
    """Where strokes, their rim and the ground are: bool ``(B, Y, X)``."""
    pixels = images[:, 0] * display.std[0] + display.mean[0]
    ink = pixels > 0.5
    near = F.max_pool2d(ink.float()[:, None], 5, 1, 2)[:, 0] > 0
    return {"strokes": ink, "rim": near & ~ink, "ground": ~near & disc(images.shape[-1])}


def measure(model: nn.Module, images: Tensor, display: Display) -> dict[str, dict[str, float]]:
    """A row for the product and for every layer."""
    parts = [ag.explain(model, part) for part in images.split(20)]
    maps = {"all": torch.cat([part.poses for part in parts])}
    maps |= {name: torch.cat([part.layers[name] for part in parts]) for name in parts[0].layers}
    where = regions(images, display)
    rows = {}
    for name, value in maps.items():
        placed = resize(value, tuple(images.shape[-2:])).mean(1)
        row = {region: float(placed[mask].mean()) for region, mask in where.items()}
        common = value.mean(0, keepdim=True)
        varies = float((value - value.mean()).square().mean())
        row["same"] = float((common - value.mean()).square().mean()) / varies if varies else 1.0
        rows[name] = row
    return rows


def table(rows: dict[str, dict[str, float]]) -> str:
    """Markdown."""
    lines = ["| map | strokes | rim | ground | same for all |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, row in rows.items():
        kept = " | ".join(f"{row[region]:.3f}" for region in ("strokes", "rim", "ground"))
        lines.append(f"| {name.removesuffix('.attention')} | {kept} | {100 * row['same']:.0f} % |")
    return "\n".join(lines)


def main() -> None:
    """Read the command line, draw and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder of the authors' .pth files")
    parser.add_argument("--data-dir", type=Path, help="folder that holds mnist/ or rot-mnist/")
    parser.add_argument("--out", type=Path, default=Path("docs/figures"), help="folder of the figures")
    parser.add_argument("--index", type=int, default=0, help="the test image that is drawn")
    parser.add_argument("--images", type=int, default=500, help="how many the table is over")
    arguments = parser.parse_args()
    splits = load_dataset("rot-mnist", arguments.data_dir, source="remade", protocol="paper")
    display = Display(splits.mean, splits.std, splits.transposed)
    names = (*ATTENTIVE, "z2cnn")
    models = {name: ag.load_reference_checkpoint(arguments.checkpoints / f"{name}.pth", name) for name in names}
    test: Any = splits.test
    figures(models, test[arguments.index][0], display, arguments.out)
    images = torch.stack([test[index][0] for index in range(arguments.images)])
    results = {}
    for name in ATTENTIVE:
        results[name] = measure(models[name], images, display)
        print(f"\n{name}, {len(images)} test images\n\n{table(results[name])}")
    print(json.dumps({"torch": torch.__version__, "index": arguments.index, "data": splits.description}))


if __name__ == "__main__":
    main()
