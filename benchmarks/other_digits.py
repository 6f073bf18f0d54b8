"""Networks of rotated MNIST on digits of another dataset: scikit-learn's, 8 x 8 pixels, enlarged and upright.

    python benchmarks/other_digits.py p4cnn runs/final-120/alpha_f_p4cnn-1 --out benchmarks/results/other-digits.json
    python benchmarks/other_digits.py --out benchmarks/results/other-digits.json --page docs/results.md

Networks are names of shipped weights, weight files or run folders; the last two parts of a path name its row.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from attentive_gconv.checkpoints import open_model
from attentive_gconv.checkpoints.reconcile import restandardise
from attentive_gconv.data import load_dataset
from attentive_gconv.files import write_json
from page_block import fill_page
from provenance import published_environment


@torch.no_grad()
def accuracy(name: str) -> dict[str, Any]:
    """The share of the upright test digits that a network classifies correctly."""
    trained = open_model(name).trained
    digits, card = load_dataset("digits"), trained.card
    again = restandardise(digits.mean, digits.std, card.mean, card.std)
    images = digits.test.images if again is None else again(digits.test.images)
    predicted = trained.module.eval()(images.mT if card.transposed else images).argmax(1)
    return {
        "network": "/".join(Path(name).parts[-2:]),
        "parameters": sum(parameter.numel() for parameter in trained.module.parameters()),
        "images": len(predicted),
        "accuracy": float((predicted == digits.test.labels).double().mean()),
    }


def table(report: dict[str, Any]) -> str:
    """The accuracies as Markdown."""
    lines = ["| weights | parameters | accuracy on other digits, % |", "|---|---:|---:|"]
    for row in report["networks"]:
        lines.append(f"| `{row['network']}` | {row['parameters']:,} | {100 * row['accuracy']:.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Evaluate and write, or fill the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("networks", nargs="*", help="names of shipped weights, or run folders")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the figures")
    parser.add_argument("--page", type=Path, help="evaluate nothing: write the table of --out into this page")
    arguments = parser.parse_args()
    if arguments.page is not None:
        fill_page(arguments.page, "other-digits", table(json.loads(arguments.out.read_text(encoding="utf-8"))))
        return
    write_json(
        arguments.out, {"environment": published_environment(), "networks": [*map(accuracy, arguments.networks)]}
    )


if __name__ == "__main__":
    main()
