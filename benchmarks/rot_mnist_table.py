"""The table of the published runs on rotated MNIST, for docs/results.md.

    python benchmarks/publish_run.py runs/p4cnn-1 --to benchmarks/results/rot-mnist/final
    python benchmarks/rot_mnist_table.py --page docs/results.md

Every run in benchmarks/results/rot-mnist/final is in it; seeds that are missing are left out.
"""

import argparse
from pathlib import Path

from attentive_gconv.checkpoints.run_files import RunFiles, read_json
from attentive_gconv.experiments.run_table import Table
from page_block import fill_page
from publish_run import require_same_settings

RUNS = Path(__file__).parent / "results" / "rot-mnist" / "final"
BASELINE, SEEDS = "p4cnn", 3
NETWORKS = (
    *("z2cnn", BASELINE, "big15_p4cnn", "big19_p4cnn", "alpha_f_p4cnn", "alpha_ch_p4cnn", "alpha_sp_p4cnn"),
    *("alpha_p4cnn", "c8cnn", "alpha_f_c8cnn"),
)
# attention beside the plain network, and beside one as large
PAIRS = (
    *((BASELINE, "alpha_f_p4cnn"), (BASELINE, "alpha_p4cnn"), ("big19_p4cnn", "alpha_p4cnn")),
    *((BASELINE, "c8cnn"), ("c8cnn", "alpha_f_c8cnn")),
)


def table(folder: Path = RUNS) -> str:
    """Rows and comparisons as Markdown.

    Raises:
        ValueError: if a run was made on other images, under another protocol or with other settings.
    """
    paths = sorted(path for path in folder.iterdir() if path.is_dir())
    require_same_settings(paths)
    runs = [RunFiles(path) for path in paths]
    found = Table("rot-mnist", "final", "", NETWORKS, SEEDS, comparable=False, baseline=BASELINE, pairs=PAIRS)
    for run in runs:
        found.add(read_json(run.result_file), read_json(run.dataset_file)["description"], run)
    return found.figures().replace("\n## ", "\n### ")


def main() -> None:
    """Read the command line, fill the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--page", type=Path, required=True, help="page with the block 'rot-mnist'")
    fill_page(parser.parse_args().page, "rot-mnist", table())


if __name__ == "__main__":
    main()
