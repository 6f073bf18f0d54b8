"""Exported files on many images: equality in batches of every size, and what int8 changes, over all poses.

    python benchmarks/export_checks.py --data-dir DIR --out benchmarks/results/export-checks.json

1. Random batches of 1 to 64 normal images: the largest difference of the logits of pt2 and onnx to the network's.
2. All test images of rot-MNIST in all poses: in float32 (onnx) and int8, the error, and how many images have a pose in
   which the prediction, or a bit of the logits, differs from that of the upright image.

The networks are those whose weights come with the package; int8 is calibrated on 512 training images. Every part of the
figures is written when it is done: the script goes on where it was interrupted.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import attentive_gconv as ag
from attentive_gconv.checkpoints import OpenedModel, open_model
from attentive_gconv.data import DataSplits
from attentive_gconv.export import export
from attentive_gconv.export.onnx_file import OnnxNetwork
from attentive_gconv.files import write_json
from page_block import fill_page
from provenance import published_environment

CALIBRATION = 512
PARTS = ("equality", "int8", "float32")


def equality(model: nn.Module, networks: dict[str, Any], shape: tuple[int, ...], batches: int) -> dict[str, Any]:
    """The largest difference of logits on random batches, absolute and relative to the largest logit."""
    make = torch.Generator().manual_seed(0)
    worst, largest = dict.fromkeys(networks, 0.0), 0.0
    other_classes = dict.fromkeys(networks, 0)
    for _ in range(batches):
        size = int(torch.randint(1, 65, (), generator=make))
        images = torch.randn(size, *shape, generator=make)
        expected = model(images)
        largest = max(largest, float(expected.abs().max()))
        for name, network in networks.items():
            found = network(images)
            worst[name] = max(worst[name], float((found - expected).abs().max()))
            other_classes[name] += int((found.argmax(1) != expected.argmax(1)).sum())
    rounded = {name: float(f"{value:.3g}") for name, value in worst.items()}
    return {"batches": batches, "largest_logit": round(largest, 2), "difference": rounded, "classes": other_classes}


def over_poses(network: Any, images: Tensor, labels: Tensor, group: ag.FiniteGroup) -> dict[str, Any]:
    """Error, and differences between the poses of an image; seconds of processor time for all of it."""
    wrong = predictions = logits = 0
    begun = time.process_time()
    for batch, truth in zip(images.split(250), labels.split(250), strict=True):
        upright = network(batch)
        wrong += int((upright.argmax(1) != truth).sum())
        turned = [network(group.act_on_plane(h, batch).contiguous()) for h in range(1, group.order)]
        predictions += int(torch.stack([t.argmax(1) != upright.argmax(1) for t in turned]).any(0).sum())
        logits += int(torch.stack([(t != upright).any(1) for t in turned]).any(0).sum())
    return {
        "error": wrong / len(labels),
        "images_with_another_prediction": predictions,
        "images_with_other_logits": logits,
        "milliseconds_per_image": round(1000 * (time.process_time() - begun) / len(labels) / group.order, 4),
    }


def stacked(splits: DataSplits, limit: int | None) -> tuple[Tensor, Tensor]:
    """The test images and labels."""
    count = min(len(splits.test), limit or len(splits.test))
    images = torch.stack([splits.test[i][0] for i in range(count)])
    return images, splits.test.labels[:count]


@torch.no_grad()
def check(
    opened: OpenedModel, splits: DataSplits, part: str, *, batches: int = 1000, limit: int | None = None
) -> dict[str, Any]:
    """The figures of one of `PARTS` for a network."""
    model, card = opened.trained.module, opened.trained.card
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        calibration = None
        if part == "int8":
            calibration = torch.stack([splits.train[i][0] for i in range(CALIBRATION)])
        file = export(model, folder / "net.onnx", card=card, calibration=calibration)
        size, network = file.stat().st_size, OnnxNetwork(file.read_bytes(), threads=1)
        if part == "equality":
            pt2 = torch.export.load(export(model, folder / "net.pt2", "pt2", card=card)).module()
            return equality(model, {"pt2": pt2, "onnx": network}, card.image_shape, batches)
    images, labels = stacked(splits, limit)
    group = ag.group(str(ag.models.model_entry(card.model).defaults["group"]))
    group = group if group.order > 1 else ag.group("p4")  # what a planar network does not know
    figures = over_poses(network, images, labels, group)
    return {"test_images": len(labels), "poses": group.order, "file_bytes": size, **figures}


def table(report: dict[str, Any]) -> str:
    """int8 beside float32, and the differences between poses, as Markdown."""
    lines = [
        "| network | form | error | predictions that differ between poses | logits that do | ms an image | file KB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, parts in report["networks"].items():
        for form in (form for form in ("float32", "int8") if form in parts):
            row = parts[form]
            head = f"{name}, {row['test_images']:,} x {row['poses']}"
            lines.append(
                f"| {head} | {form} | {100 * row['error']:.2f} % | {row['images_with_another_prediction']:,} | "
                f"{row['images_with_other_logits']:,} | {row['milliseconds_per_image']:.2f} | "
                f"{row['file_bytes'] / 1000:.0f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the command line, check, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--networks", default="p4cnn,alpha_f_p4cnn,z2cnn", help="names, by commas")
    parser.add_argument("--data-dir", help="folder that holds the datasets")
    parser.add_argument("--batches", type=int, default=1000, help="random batches (default: 1000)")
    parser.add_argument("--limit", type=int, help="the first so many test images only")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the figures")
    parser.add_argument("--page", type=Path, help="measure nothing: write the table of --out into this page")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    known = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.exists() else {"networks": {}}
    if arguments.page is not None:
        fill_page(arguments.page, "export-checks", table(known))
        return
    for name in arguments.networks.split(","):
        opened = open_model(name)
        splits = opened.load_splits(arguments.data_dir)
        for part in PARTS:
            figures = known["networks"].setdefault(name, {})
            if part not in figures:
                figures[part] = check(opened, splits, part, batches=arguments.batches, limit=arguments.limit)
                known = {"environment": published_environment(), "networks": known["networks"]}
                write_json(arguments.out, known)
                print(name, part, json.dumps(figures[part]), flush=True)


if __name__ == "__main__":
    main()
