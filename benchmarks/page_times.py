"""Time of the page of `agconv demo`: from the command to a usable page, and from a move of the slider to new maps.

    python benchmarks/page_times.py RUN_OR_WEIGHTS... --moves 20

Chromium (Debian's package) is started first and not counted. "Usable" is the moment at which the first prediction is on
screen; a move is a press of an arrow key on the slider, and ends when the left network's image has changed. The first
two networks are on screen.
"""

import argparse
import json
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from playwright.sync_api import Page, sync_playwright

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
LONGEST = 180.0
CHANGED = "before => document.querySelector('#left figure img').src !== before"


def seconds_to_page(page: Page, targets: list[str]) -> tuple[subprocess.Popen, float]:
    """Start the command, and wait until the first prediction is on screen."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "attentive_gconv", "demo", *targets, "--port", str(port)])
    while process.poll() is None and time.perf_counter() - start < LONGEST:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                page.goto(f"http://127.0.0.1:{port}/")
                page.wait_for_selector("#left .answer", timeout=1000 * LONGEST)
                return process, time.perf_counter() - start
        time.sleep(0.02)
    process.terminate()
    sys.exit(f"page_times: no page within {LONGEST:.0f} s")


def seconds_a_move(page: Page, moves: int) -> list[float]:
    """Press the arrow key, and wait for another image."""
    slider = page.locator("#angle input[type=range]")
    slider.focus()
    seconds = []
    for _ in range(moves):
        before = page.get_attribute("#left figure img", "src")
        start = time.perf_counter()
        slider.press("ArrowRight")
        page.wait_for_function(CHANGED, arg=before, polling=10, timeout=1000 * LONGEST)
        seconds.append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("targets", nargs="*", help="networks, as `agconv demo` takes them")
    parser.add_argument("--moves", type=int, default=20, help="moves of the slider (default: 20)")
    parser.add_argument("--starts", type=int, default=3, help="starts of the command (default: 3)")
    arguments = parser.parse_args()
    if arguments.moves < 4 or arguments.starts < 1:
        parser.error("--moves must be at least 4, --starts at least 1")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("page_times: needs Chromium, `apt-get install chromium`")
    starts, moves = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for _ in range(arguments.starts):
            page = browser.new_page(viewport={"width": 1500, "height": 1000})
            process, seconds = seconds_to_page(page, arguments.targets)
            starts.append(seconds)
            moves += seconds_a_move(page, arguments.moves)
            page.close()
            process.terminate()
            process.wait()
        browser.close()
    lower, median, upper = statistics.quantiles(moves, n=4)
    report: dict[str, Any] = {
        "networks": [Path(target).stem for target in arguments.targets],
        "seconds_to_page": [round(value, 2) for value in starts],
        "seconds_a_move": {"lower": round(lower, 3), "median": round(median, 3), "upper": round(upper, 3)},
        "cores": torch.get_num_threads(),
        "platform": platform.platform(),
        "torch": torch.__version__,
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
