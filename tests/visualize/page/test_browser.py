"""The page in a real browser: `agconv demo` in a process of its own, and headless Chromium.

Without Chromium the tests are skipped, or fail where AGCONV_REQUIRE_BROWSER=1 is set.
"""

import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

import attentive_gconv as ag
from attentive_gconv.checkpoints import ModelCard, save_weights
from requirements import unavailable

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
MILLISECONDS = 60_000  # on a busy machine
SECONDS = 120


@pytest.fixture(scope="module")
def chromium() -> str:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        unavailable("Chromium (`apt-get install chromium`)", "BROWSER")
    return path


@pytest.fixture(scope="module")
def address(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of two networks with new weights."""
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    for name in ("alpha_f_p4cnn", "z2cnn"):
        card = ModelCard(
            model=name, classes=tuple("0123456789"), image_shape=(1, 28, 28), mean=(0.13,), std=(0.3,),
            dataset="rot-mnist", source="remade", dataset_seed=0, protocol="validation", epoch=0, transposed=True,
            options={},
        )  # fmt: skip
        save_weights(folder / f"{name}.safetensors", ag.create_model(name), card)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "attentive_gconv", "demo", *map(str, sorted(folder.glob("*.safetensors")))]
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=subprocess.STDOUT)
        try:
            yield _when_up(f"http://127.0.0.1:{port}/", process, folder / "log")
        finally:
            process.terminate()
            process.wait(20)


def _when_up(address: str, process: subprocess.Popen, log: Path) -> str:
    for _ in range(10 * SECONDS):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                assert "default-src 'self'" in answer.headers["content-security-policy"]
                return address
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise AssertionError(f"no page after {SECONDS} s: {log.read_text()}")


@pytest.fixture(scope="module")
def browser(chromium):
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


class Page:
    """The page as a visitor sees it."""

    def __init__(self, browser, address):
        self.page = browser.new_page(viewport={"width": 1500, "height": 1000})
        self.page.set_default_timeout(MILLISECONDS)
        self.requests, self.complaints = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)
        self.page.goto(address)
        self.page.wait_for_selector("#left .answer")

    def answer(self, side="left"):
        return self.page.get_attribute(f"#{side} .answer", "data-answer")

    def image(self):
        return self.page.get_attribute("#left figure img", "src")

    def wait_for_change(self, before):
        self.page.wait_for_function("before => document.querySelector('#left figure img').src !== before", arg=before)


@pytest.fixture
def page(browser, address):
    page = Page(browser, address)
    yield page
    page.page.close()


def test_something_useful_is_on_screen_and_nothing_comes_from_outside(page, address):
    assert page.answer() in set("0123456789")
    assert page.answer("right") in set("0123456789")
    assert page.page.locator("#left figure").count() == 6
    assert page.page.locator("#right figure").count() == 2
    assert "exact to rounding" in page.page.inner_text("#left")
    assert "not equivariant" in page.page.inner_text("#right")
    outside = [url for url in page.requests if not url.startswith((address, "data:", "blob:"))]
    assert outside == []
    assert page.complaints == []


def test_slide_mirror_draw_and_clear(page):
    before, answer = page.image(), page.answer()
    angle = page.page.locator("#angle input[type=number]")
    angle.fill("90")
    angle.press("Enter")
    page.wait_for_change(before)
    assert page.answer() == answer, "a p4-network says the same of a turned image"
    before = page.image()
    slider = page.page.locator("#angle input[type=range]")
    slider.focus()
    slider.press("ArrowRight")
    page.wait_for_change(before)
    before = page.image()
    page.page.locator("#mirror input").check()
    page.wait_for_change(before)
    before = page.image()
    box = page.page.locator("#board canvas").bounding_box()
    page.page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 220, box["y"] + 200, steps=8)
    page.page.mouse.up()
    page.wait_for_change(before)
    assert page.page.inner_text("#note") == "your drawing"
    drawing = page.image()
    page.page.locator("#board button").click()
    page.wait_for_change(drawing)
    assert "an empty board" in page.page.inner_text("#note")


def test_uploads_good_bad_and_large(page, tmp_path):
    before, upload = page.image(), page.page.locator("input[type=file]")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    upload.set_input_files(tmp_path / "bad.png")
    page.page.wait_for_selector("#note [role=alert]")
    assert "bad.png: the image is damaged" in page.page.inner_text("#note")
    assert page.image() == before
    (tmp_path / "large.png").write_bytes(bytes(11 << 20))
    upload.set_input_files(tmp_path / "large.png")
    page.page.wait_for_function("document.body.innerText.includes('exceed the maximum allowed size')")
    Image.radial_gradient("L").save(tmp_path / "good.png")
    upload.set_input_files(tmp_path / "good.png")
    page.wait_for_change(before)
    assert page.page.inner_text("#note") == "uploaded: good.png"


def test_the_page_listens_on_loopback_alone(address):
    port = int(address.rsplit(":")[-1].strip("/"))
    # another address of this machine: a server that listens on all would answer
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port), timeout=5):
        pass
