"""Exported networks beside the network itself: largest difference, latency, peak memory and file size of every form.

    python benchmarks/export_table.py --networks p4cnn,alpha_f_p4cnn --out benchmarks/results/export.json
    python benchmarks/export_table.py --page docs/guides/export.md --out benchmarks/results/export.json

Every entry (network, form) runs in a process of its own, on one thread, and is written when it is done: the script goes
on where it was interrupted. Latency is processor time of a batch, on one thread the better measure on a busy machine:
the median of rounds, after one that is not counted. Memory is the peak of one batch beyond what the process held, see
benchmarks/README.md. The difference is that of the logits to eager mode, relative to the largest of them. Images are
normal noise, on which int8 is calibrated, too; networks whose weights do not come with the package have random ones.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import attentive_gconv as ag
from attentive_gconv.bench.memory import peak_memory
from attentive_gconv.bench.timing import quartiles
from attentive_gconv.export import export
from attentive_gconv.export.onnx_file import OnnxNetwork
from attentive_gconv.files import write_json
from page_block import fill_page
from provenance import published_environment

FORMS = ("eager", "compile", "pt2", "onnx", "aoti", "int8")
BATCH = {"rot-mnist": 64, "rot-mnist-any-angle": 64}
OTHERS_BATCH = 16
CPU = torch.device("cpu")

Network = Callable[[Tensor], Tensor]


def batch_of(name: str) -> int:
    """Images in a batch of a network."""
    return BATCH.get(ag.models.model_entry(name).family, OTHERS_BATCH)


def prepared(name: str) -> tuple[torch.nn.Module, Tensor]:
    """The network in eval mode, and a batch of noise."""
    torch.manual_seed(0)
    images = torch.randn(batch_of(name), *ag.models.model_entry(name).image_shape)
    if name in {shipped.partition(".")[0] for shipped in ag.list_pretrained()}:
        return ag.create_model(name, pretrained=True), images
    model = ag.create_model(name)
    for norm in model.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            # statistics of the one batch: with a tenth of them activations, and rounding, grow with depth
            norm.momentum = None
    with torch.no_grad():
        model(images[:8])
    return model.eval(), images


def made(form: str, model: torch.nn.Module, images: Tensor, folder: Path) -> tuple[Network, int | None]:
    """The network in one of the forms, and the bytes of its file."""
    if form in ("eager", "compile"):
        return (torch.compile(model) if form == "compile" else model), None
    ending, written = ("onnx", "onnx") if form in ("onnx", "int8") else ("pt2", form)
    calibration = images if form == "int8" else None
    path = export(model, folder / f"net.{ending}", written, image_shape=images.shape[1:], calibration=calibration)
    if form == "pt2":
        network: Network = torch.export.load(path).module()
    elif form == "aoti":
        network = torch._inductor.aoti_load_package(str(path))
    else:
        network = OnnxNetwork(path.read_bytes(), threads=1)
    return network, path.stat().st_size


@torch.no_grad()
def measure(name: str, form: str, rounds: int) -> dict[str, Any]:
    """The figures of one entry."""
    torch.set_num_threads(1)
    model, images = prepared(name)
    expected = model(images)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        network, size = made(form, model, images, Path(folder))
        network(images[:2])
        seconds = time.perf_counter() - begun
        peak = peak_memory(lambda: network(images), CPU)
        found, times = network(images), []
        for _ in range(rounds):
            start = time.process_time()
            network(images)
            times.append(time.process_time() - start)
    return {
        "difference": float(f"{(found - expected).abs().max() / expected.abs().max():.2g}"),
        "milliseconds": {key: float(f"{1000 * value:.4g}") for key, value in quartiles(times)._asdict().items()},
        "peak_megabytes": round(peak.bytes / 1e6, 1),
        "file_bytes": size,
        "seconds_to_make": round(seconds, 1),
    }


def entry(name: str, form: str, rounds: int, limit: int) -> dict[str, Any]:
    """The figures of one entry from a process of its own, or the reason why there are none."""
    command = [sys.executable, __file__, "--one", name, form, "--rounds", str(rounds)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"reason": f"not made within {limit} s"}
    if run.returncode:
        lines = [line for line in run.stderr.strip().splitlines() if line]
        return {"reason": lines[-1][:120] if lines else f"ended with status {run.returncode}"}
    figures: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return figures


def table(report: dict[str, Any]) -> str:
    """The report as Markdown: a row for each network and form."""
    lines = [
        "| network | images | form | largest difference | ms | peak MB | file MB |",
        "|---|---|---|---|---|---|---|",
    ]
    reasons: list[str] = []
    for name, forms in report["networks"].items():
        for place, form in enumerate(form for form in FORMS if form in forms):
            row = forms[form]
            head = f"| {name if not place else ''} | {batch_of(name) if not place else ''} | {form} | "
            if "reason" in row:
                if row["reason"] not in reasons:
                    reasons.append(row["reason"])
                lines.append(f"{head}– ({reasons.index(row['reason']) + 1}) | – | – | – |")
                continue
            ms = row["milliseconds"]
            size = "" if row["file_bytes"] is None else f"{row['file_bytes'] / 1e6:.2f}"
            lines.append(
                f"{head}{'' if form == 'eager' else row['difference']} | "
                f"{ms['median']:.1f} ({ms['lower']:.1f}–{ms['upper']:.1f}) | {row['peak_megabytes']} | {size} |"
            )
    notes = [f"({number}) {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"


def main() -> None:
    """Read the command line; measure and write, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--networks", default="", help="names, by commas; default: all")
    parser.add_argument("--forms", default=",".join(FORMS), help="of eager, compile, pt2, onnx, aoti, int8")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of timing (default: 5)")
    parser.add_argument("--limit", type=int, default=240, help="seconds for one entry (default: 240)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--page", type=Path, help="measure nothing: write the table of --out into this page")
    parser.add_argument("--one", nargs=2, metavar=("NETWORK", "FORM"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*arguments.one, arguments.rounds)))
        return
    if arguments.out is None:
        parser.error("--out is missing")
    known = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.exists() else {"networks": {}}
    if arguments.page is not None:
        fill_page(arguments.page, "export", table(known))
        return
    for name in arguments.networks.split(",") if arguments.networks else ag.list_models():
        for form in arguments.forms.split(","):
            # what failed is tried again
            if "milliseconds" in known["networks"].get(name, {}).get(form, {}):
                continue
            about = published_environment()
            found = entry(name, form, arguments.rounds, arguments.limit)
            found |= {"started": about["started"], "revision": about["git_revision"]}
            known["networks"].setdefault(name, {})[form] = found
            known = {"environment": about, "threads": 1, "networks": known["networks"]}
            write_json(arguments.out, known)
            print(name, form, found, flush=True)


if __name__ == "__main__":
    main()
