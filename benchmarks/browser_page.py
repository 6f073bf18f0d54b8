"""Answers of the page that runs in a browser beside those of Python, on random drawings. Needs npm and Chromium.

    python benchmarks/browser_page.py --out benchmarks/results/browser-page.json
    python benchmarks/browser_page.py --out benchmarks/results/browser-page.json --page docs/guides/browser.md

The page is that of examples/browser_page, opened as a file. Every drawing is made with the mouse and turned with the
slider; half are digits, distorted, half are scribbles. In each of its four quarter turns the page's answer is compared
with that of `explain` for the saved drawing, read as `agconv predict --invert` reads it. Figures are written after
every part of the drawings: the script goes on where it was interrupted. The second command measures nothing: it writes
the figures into the page of the documentation.
"""

import argparse
import base64
import json
import runpy
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import attentive_gconv as ag
from attentive_gconv.checkpoints import TrainedModel, open_model
from attentive_gconv.files import write_json
from attentive_gconv.inference import read_image
from attentive_gconv.visualize.page.input_images import EXAMPLES
from page_block import fill_page
from provenance import published_environment

BUILD = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "browser_page" / "build.py"))
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
MILLISECONDS = 60_000  # on a busy machine
DRAWINGS = 200
PART = 25
# two classes whose probabilities differ by less may change places
TIE = 1e-4

COUNTS = ("drawings", "ties", "other_classes_than_python", "other_classes_between_quarter_turns")
LARGEST = (
    *("difference_of_probabilities", "difference_of_maps"),
    *("difference_of_probabilities_between_quarter_turns", "difference_of_summed_maps_between_quarter_turns"),
)

Strokes = list[list[tuple[float, float]]]


class Answer(NamedTuple):
    """What is said of a drawing: probabilities ``(classes,)``, and maps by name, each ``(|H| or 1, Y_l, X_l)``."""

    probabilities: Tensor
    maps: dict[str, Tensor]


def drawings(count: int, seed: int = 0) -> Iterator[tuple[Strokes, int]]:
    """Strokes, points (x, y) in [0, 1], and an angle in degrees: distorted digits and scribbles in turn."""
    make = torch.Generator().manual_seed(seed)
    for number in range(count):
        if number % 2:
            pieces = [0.12 * torch.randn(7, 2, generator=make) for _ in range(1 + number % 3)]
            strokes = [0.5 + 0.15 * torch.randn(2, generator=make) + steps.cumsum(0) for steps in pieces]
        else:
            names = sorted(EXAMPLES)
            name = names[int(torch.randint(len(names), (), generator=make))]
            shear = torch.eye(2) + 0.12 * torch.randn(2, 2, generator=make)
            digit = [(torch.tensor(stroke) / 100 - 0.5) @ shear + 0.5 for stroke in EXAMPLES[name]]
            strokes = [points + 0.015 * torch.randn(points.shape, generator=make) for points in digit]
        points = [[(x, y) for x, y in stroke.clamp(0.06, 0.94).tolist()] for stroke in strokes]
        yield points, int(torch.randint(360, (), generator=make))


class DrawingPage:
    """The page as a visitor has it.

    Args:
        browser: of playwright.
        address: of the page.
        options: of the browser's page, such as ``viewport``.
    """

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.page = browser.new_page(**{"viewport": {"width": 880, "height": 900}, **options})
        self.page.set_default_timeout(MILLISECONDS)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)
        self.wait()

    def wait(self) -> None:
        """Until the network has answered."""
        self.page.wait_for_selector('main[aria-busy="false"]')

    def draw(self, strokes: Strokes) -> None:
        """Draw with the mouse on an empty board."""
        self.page.click("#clear")
        box, mouse = self.page.locator("#board").bounding_box(), self.page.mouse
        for stroke in strokes:
            for i, (x, y) in enumerate(stroke):
                mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
                if i == 0:
                    mouse.down()
            mouse.up()
        self.wait()

    def turn(self, degrees: int) -> None:
        """Set the slider."""
        self.page.locator("#angle").fill(str(degrees))
        self.wait()

    def quarter_turn(self) -> None:
        """A quarter turn further, counter-clockwise."""
        self.page.click("#left")
        self.wait()

    def answer(self) -> Answer:
        """The last answer, in full precision."""
        found = json.loads(self.page.evaluate("JSON.stringify(lastAnswer)"))
        maps = {
            name: torch.tensor(each["data"]).view(each["poses"], each["rows"], each["columns"])
            for name, each in found["maps"].items()
        }
        return Answer(torch.tensor(found["probabilities"][0]), maps)

    def save(self, path: Path) -> Path:
        """Save the drawing."""
        address = self.page.get_attribute("#save", "href")
        path.write_bytes(base64.b64decode(address.partition(",")[2]))
        return path


@contextmanager
def chromium() -> Iterator[Any]:
    """Headless Chromium."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def python_answers(trained: TrainedModel, paths: list[Path]) -> list[Answer]:
    """The answers of `explain` for saved drawings, read as `agconv predict --invert` does."""
    images = torch.stack([read_image(path, trained.card, invert=True) for path in paths])
    explanation = ag.explain(trained.module, images)
    maps, shares = {"poses": explanation.poses, **explanation.layers}, explanation.output.softmax(1)
    return [Answer(shares[i], {name: value[i] for name, value in maps.items()}) for i in range(len(paths))]


def check(
    page: DrawingPage, trained: TrainedModel, pieces: Iterable[tuple[Strokes, int]], folder: Path
) -> dict[str, Any]:
    """Compare the answers of the page with those of Python, and between quarter turns."""
    figures: dict[str, Any] = dict.fromkeys((*COUNTS, *LARGEST), 0)
    seen: set[int] = set()

    def worst(key: str, one: Tensor, other: Tensor) -> None:
        figures[key] = max(figures[key], float((one - other).abs().max()))

    for strokes, degrees in pieces:
        page.draw(strokes)
        page.turn(degrees)
        answers, files = [page.answer()], [page.save(folder / "0.png")]
        for quarter in (1, 2, 3):
            page.quarter_turn()
            answers.append(page.answer())
            files.append(page.save(folder / f"{quarter}.png"))
        first, summed = answers[0], answers[0].maps["poses"].sum(0)
        figures["drawings"] += 1
        for quarter, (found, expected) in enumerate(zip(answers, python_answers(trained, files), strict=True)):
            best, second = expected.probabilities.topk(2).values.tolist()
            tie, said = best - second < TIE, int(found.probabilities.argmax())
            figures["ties"] += tie
            figures["other_classes_than_python"] += not tie and said != int(expected.probabilities.argmax())
            figures["other_classes_between_quarter_turns"] += not tie and said != int(first.probabilities.argmax())
            worst("difference_of_probabilities", found.probabilities, expected.probabilities)
            for name, value in expected.maps.items():
                worst("difference_of_maps", found.maps[name], value)
            worst("difference_of_probabilities_between_quarter_turns", found.probabilities, first.probabilities)
            back = torch.rot90(found.maps["poses"].sum(0), -quarter, (-2, -1))
            worst("difference_of_summed_maps_between_quarter_turns", back, summed)
            seen.add(said)
    return {**figures, "classes_seen": sorted(seen)}


def merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of all parts: counts are added, of differences the largest is taken."""
    counts = {key: sum(part[key] for part in parts) for key in COUNTS}
    largest = {key: float(f"{max(part[key] for part in parts):.2g}") for key in LARGEST}
    return {**counts, **largest, "classes_seen": sorted({name for part in parts for name in part["classes_seen"]})}


def table(report: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "| network | drawings | other classes than Python | probabilities | maps | page |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in report["networks"].items():
        lines.append(
            f"| {name} | {row['drawings']} x 4 | {row['other_classes_than_python']} | "
            f"{row['difference_of_probabilities']:.0e} | {row['difference_of_maps']:.0e} | "
            f"{row['page_bytes'] / 1e6:.1f} MB |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the command line, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--networks", default="alpha_f_p4cnn,p4cnn", help="names, by commas")
    parser.add_argument("--drawings", type=int, default=DRAWINGS, help=f"how many (default: {DRAWINGS})")
    parser.add_argument("--archive", type=Path, help="onnxruntime-web's .tgz; default: got with npm")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the figures")
    parser.add_argument("--page", type=Path, help="measure nothing: write the table of --out into this page")
    arguments = parser.parse_args()
    if arguments.page is not None:
        fill_page(arguments.page, "browser-page", table(json.loads(arguments.out.read_text(encoding="utf-8"))))
        return
    torch.set_num_threads(1)
    known = json.loads(arguments.out.read_text(encoding="utf-8"))["networks"] if arguments.out.exists() else {}
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        versions = {"chromium": browser.version, "onnxruntime-web": BUILD["VERSION"]}
        for network in arguments.networks.split(","):
            parts = known.get(network, {}).get("parts", [])
            done = sum(part["drawings"] for part in parts)
            if done >= arguments.drawings:
                continue
            file = Path(folder) / "page.html"
            file.write_bytes(BUILD["build"](network, archive=arguments.archive))
            page, trained = DrawingPage(browser, file.as_uri()), open_model(network).trained
            left = islice(drawings(arguments.drawings), done, None)
            while pieces := list(islice(left, PART)):
                parts.append(check(page, trained, pieces, Path(folder)))
                known[network] = {**merged(parts), "page_bytes": file.stat().st_size, "parts": parts}
                report = {"environment": published_environment(), **versions, "networks": known}
                write_json(arguments.out, report)
                print(network, json.dumps(merged(parts)), flush=True)
            page.page.close()


if __name__ == "__main__":
    main()
