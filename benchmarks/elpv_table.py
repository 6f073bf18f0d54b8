"""The table of the published runs on ELPV's solar cells, for docs/guides/solar-cells.md.

    python benchmarks/elpv_table.py --add runs/elpv/vgg6-0
    python benchmarks/elpv_table.py --page docs/guides/solar-cells.md

The first command copies the small files of a finished run to benchmarks/results/elpv (`publish_run.py`; no weights, the
images are CC BY-NC-SA 4.0), evaluates its weights on the test images in all eight poses, in float64, and writes
evaluation.json beside them, with what is found in dark and in bright cells. The second measures nothing. It fills the
table of the page, and that of the runs of 40 epochs in benchmarks/results/elpv/README.md.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attentive_gconv.checkpoints import open_model
from attentive_gconv.checkpoints.run_files import RunFiles, read_json, read_predictions
from attentive_gconv.files import write_json
from attentive_gconv.inference import evaluate
from page_block import fill_page
from provenance import published_environment
from publish_run import publish, require_same_settings

RUNS = Path(__file__).parent / "results" / "elpv"
EARLIER = RUNS.with_name("elpv-40-epochs")
NETWORKS = ("vgg6", "p4m_vgg6", "alpha_f_p4m_vgg6")


def add(run: Path, folder: Path = RUNS) -> Path:
    """Publish a finished run and its evaluation; the file of the evaluation."""
    opened = open_model(run)
    trained, images = opened.trained, opened.load_splits().test
    figures = evaluate(trained.module, images, trained.card.classes, mirrorings=True, dtype=torch.float64)
    publish(RunFiles(run), folder / run.name)
    written = folder / run.name / "evaluation.json"
    predicted, labels = read_predictions(RunFiles(run).predictions_file)
    brightness = np.array([float(images[index][0].mean()) for index in range(len(images))])
    thirds = by_brightness(brightness, labels, predicted)
    more = {"by_brightness": thirds, "dtype": "float64", "environment": published_environment()}
    write_json(written, figures.to_mapping() | more)
    return written


def by_brightness(brightness: np.ndarray, labels: np.ndarray, predicted: np.ndarray) -> list[dict[str, int]]:
    """Counts in each third of the images, from the darkest: images, defective ones, and how many of these are found."""
    thirds = np.array_split(np.argsort(brightness, kind="stable"), 3)
    return [
        {
            "images": len(third),
            "defective": int((labels[third] == 1).sum()),
            "found": int(((labels[third] == 1) & (predicted[third] == 1)).sum()),
        }
        for third in thirds
    ]


def table(folder: Path = RUNS) -> str:
    """Rows and confusion matrices as Markdown."""
    rows = [
        "| network | parameters | seed | accuracy, % | defective cells found, % | ROC AUC "
        "| predictions changed by a pose |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    matrices = [
        "| network | seed | functional: right | wrong | defective: right | wrong |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    thirds = [
        "| defective cells found | seed | darkest third of the cells | middle third | brightest third |",
        "|---|---:|---:|---:|---:|",
    ]
    runs = sorted((path for path in folder.iterdir() if path.is_dir()), key=_order)
    require_same_settings(runs)
    for run in runs:
        result, figures = read_json(run / "result.json"), read_json(run / "evaluation.json")
        defective = figures["classes"][1]
        changed = max(*figures["changed_by_rotation"].values(), *figures["changed_by_mirroring"].values())
        rows.append(
            f"| `{result['model']}` | {result['parameters']:,} | {result['seed']} | {100 * figures['accuracy']:.1f} | "
            f"{100 * defective['recall']:.1f} | {defective['auc']:.3f} | {_of(changed, figures)} |"
        )
        (a, b), (c, d) = figures["confusion"]
        matrices.append(f"| `{result['model']}` | {result['seed']} | {a} | {b} | {d} | {c} |")
        found = " | ".join(f"{third['found']} of {third['defective']}" for third in figures["by_brightness"])
        thirds.append(f"| `{result['model']}` | {result['seed']} | {found} |")
    return "\n".join([*rows, "", *matrices, "", *thirds]) + "\n"


def _order(run: Path) -> tuple[int, str]:
    name, _, seed = run.name.rpartition("-")
    return NETWORKS.index(name), seed


def _of(changed: int, figures: dict[str, Any]) -> str:
    return f"up to {changed} of {figures['images']}" if changed else "none"


def main() -> None:
    """Read the command line; add runs or fill the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--add", nargs="+", type=Path, default=[], help="finished run folders, NETWORK-SEED")
    parser.add_argument("--page", type=Path, help="page with the block 'elpv'")
    arguments = parser.parse_args()
    for run in arguments.add:
        print(add(run))
    if arguments.page is not None:
        fill_page(arguments.page, "elpv", table())
        fill_page(RUNS / "README.md", EARLIER.name, table(EARLIER))


if __name__ == "__main__":
    main()
