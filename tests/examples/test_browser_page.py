"""The page without Python: how it is built, and, in headless Chromium, that it answers what Python answers."""

import functools
import hashlib
import http.server
import io
import json
import re
import shutil
import socket
import tarfile
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

import attentive_gconv as ag
import browser_page
from attentive_gconv.checkpoints import ModelCard, TrainedModel, open_model, save_weights
from attentive_gconv.data.image_file import read_pixels
from attentive_gconv.inference import predict_files
from browser_page import BUILD, DrawingPage
from page_block import filled
from requirements import unavailable

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "browser_page"


def archive(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as packed:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            packed.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def sha512(content: bytes) -> str:
    return b64encode(hashlib.sha512(content).digest()).decode()


PACKAGE = archive(
    {
        "package/package.json": b'{"name": "onnxruntime-web", "version": "0.0.1"}',
        BUILD["RUNTIME"]: b"export const env = {};",
        BUILD["WASM"]: b"\0asm",
    }
)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A registry on this machine that has one small package, and npm with an empty cache."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = f"http://127.0.0.1:{self.server.server_address[1]}"
            distribution = {"tarball": f"{address}/package.tgz", "integrity": f"sha512-{sha512(PACKAGE)}"}
            version = {"name": "onnxruntime-web", "version": "0.0.1", "dist": distribution}
            listing = {"name": "onnxruntime-web", "dist-tags": {"latest": "0.0.1"}, "versions": {"0.0.1": version}}
            answers = {"/onnxruntime-web": json.dumps(listing).encode(), "/package.tgz": PACKAGE}
            content = answers.get(self.path)
            self.send_response(404 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b"{}")

        def log_message(self, *args: object) -> None:
            pass

    if shutil.which("npm") is None:
        unavailable("npm (Node.js)", "NPM")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    yield
    server.shutdown()
    server.server_close()


def test_the_runtime_comes_from_the_registry_and_is_checked(registry):
    found = BUILD["runtime"](package="onnxruntime-web@0.0.1", sha512=sha512(PACKAGE))
    assert found == (b"export const env = {};", b"\0asm")
    with pytest.raises(ValueError, match=r"has the SHA-512 .* of onnxruntime-web@0.0.1: fetch it again"):
        BUILD["runtime"](package="onnxruntime-web@0.0.1")
    with pytest.raises(BUILD["RegistryError"], match=r"npm cannot get onnxruntime-web@0\.0\.2 .*give the --archive"):
        BUILD["runtime"](package="onnxruntime-web@0.0.2")


def test_without_npm_the_command_says_so_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["build.py", "--out", str(tmp_path / "page.html")])
    assert BUILD["main"]() == BUILD["UNAVAILABLE"]
    assert "is not installed: install Node.js, or give the --archive" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_another_archive_is_refused(tmp_path):
    (tmp_path / "other.tgz").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"other\.tgz has the SHA-512"):
        BUILD["runtime"](tmp_path / "other.tgz")


def test_networks_of_other_images_are_refused():
    card = ModelCard(
        model="p4_allcnnc", classes=("a", "b"), image_shape=(3, 32, 32), mean=(0.5,) * 3, std=(0.3,) * 3,
        dataset="cifar10", source="", dataset_seed=0, protocol="validation", epoch=0, transposed=False, options={},
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"square grey images; the network takes \(C, Y, X\) = \(3, 32, 32\)"):
        BUILD["upright"](TrainedModel(torch.nn.Identity(), card))


def test_everything_is_in_the_file_and_the_policy_forbids_requests():
    html = BUILD["page"](b"network", {"card": "</script>{{STYLE}}"}, b"script", b"wasm").decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)[1]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe-inline" not in policy
    assert "connect-src" not in policy
    for kind, start in (("js", '<script type="module">'), ("css", "<style>")):
        text = (FOLDER / f"page.{kind}").read_text(encoding="utf-8")
        assert start + text + "</" in html
        assert f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy
    assert json.loads(re.search(r'application/json">(.*?)</script>', html)[1]) == {"card": "</script>{{STYLE}}"}
    assert re.findall(r"\w+://|\bsrc=|@import|url\(", html) == []
    assert "MIT licence" in html


def test_the_guide_shows_the_figures_of_the_file():
    report = json.loads((ROOT / "benchmarks" / "results" / "browser-page.json").read_text(encoding="utf-8"))
    guide = (ROOT / "docs" / "guides" / "browser.md").read_text(encoding="utf-8")
    assert filled(guide, "browser-page", browser_page.table(report)) == guide
    assert all(row["other_classes_between_quarter_turns"] == 0 for row in report["networks"].values())
    assert report["onnxruntime-web"] == BUILD["VERSION"]


def test_parts_are_merged():
    part = {**dict.fromkeys(browser_page.COUNTS, 2), **dict.fromkeys(browser_page.LARGEST, 1e-7), "classes_seen": [1]}
    other = {**part, "difference_of_maps": 1.234e-5, "classes_seen": [3]}
    found = browser_page.merged([part, other])
    assert (found["drawings"], found["difference_of_maps"], found["classes_seen"]) == (4, 1.2e-5, [1, 3])


def test_drawings_are_the_same_every_time_and_stay_on_the_board():
    first, again = list(browser_page.drawings(6)), list(browser_page.drawings(6))
    assert first == again
    points = [coordinate for strokes, _ in first for stroke in strokes for point in stroke for coordinate in point]
    assert 0 < min(points) < max(points) < 1


# ---- in a browser


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """onnxruntime-web's archive."""
    folder = tmp_path_factory.mktemp("npm")
    try:
        return BUILD["_packed_by_npm"](BUILD["PACKAGE"], folder)
    except BUILD["RegistryError"] as error:
        unavailable(f"the npm registry: {error}", "NPM")


@pytest.fixture(scope="module")
def file(packed: Path) -> Path:
    path = packed.with_name("page.html")
    path.write_bytes(BUILD["build"](archive=packed))
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if (shutil.which("chromium") or shutil.which("chromium-browser")) is None:
        unavailable("Chromium (`apt-get install chromium`)", "BROWSER")
    pytest.importorskip("playwright.sync_api")
    with browser_page.chromium() as browser:
        yield browser


@pytest.fixture
def address(file: Path) -> Iterator[str]:
    """The page as `python -m http.server` serves it."""
    handler = functools.partial(Quiet, directory=str(file.parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/page.html"
    server.shutdown()
    server.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.mark.slow
def test_answers_and_maps_are_those_of_python_in_every_quarter_turn(browser, file, tmp_path):
    page = DrawingPage(browser, file.as_uri())
    pieces = browser_page.drawings(browser_page.DRAWINGS)
    figures = browser_page.check(page, open_model("alpha_f_p4cnn").trained, pieces, tmp_path)
    assert figures["drawings"] == browser_page.DRAWINGS
    assert figures["other_classes_than_python"] == figures["other_classes_between_quarter_turns"] == 0
    assert max(figures[key] for key in browser_page.LARGEST) < 1e-4
    assert figures["ties"] < browser_page.DRAWINGS / 10
    assert len(figures["classes_seen"]) > 5
    assert page.complaints == []
    page.page.close()


@pytest.mark.slow
def test_the_answer_is_that_of_the_shipped_network_and_its_transform(browser, file, tmp_path):
    page = DrawingPage(browser, file.as_uri())
    page.page.click("#right")
    page.wait()
    image = Image.open(page.save(tmp_path / "drawing.png")).convert("L").point(lambda value: 255 - value)
    inputs = ag.models.transform("alpha_f_p4cnn")(image)[None]
    model, found = ag.create_model("alpha_f_p4cnn", pretrained=True), page.answer()
    (prediction,) = predict_files(open_model("alpha_f_p4cnn").trained, [tmp_path / "drawing.png"], invert=True)
    assert prediction.guesses[0].label == str(int(found.probabilities.argmax()))
    assert prediction.guesses[0].probability == pytest.approx(float(found.probabilities.max()), abs=1e-4)
    probabilities, maps = model(inputs).softmax(1)[0], ag.attention_maps(model, inputs, parts=False)
    torch.testing.assert_close(found.probabilities, probabilities.detach(), atol=1e-4, rtol=0)
    assert {*maps, "poses"} == {*found.maps}
    for name, value in maps.items():
        torch.testing.assert_close(found.maps[name], value.view_as(found.maps[name]), atol=1e-4, rtol=0)
    page.page.close()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["a file", "a server"])
def test_it_makes_no_request_and_uses_nothing_of_another_host(browser, file, address, how):
    where = file.as_uri() if how == "a file" else address
    page = DrawingPage(browser, where)
    page.draw([[(0.5, 0.2), (0.5, 0.8)]])
    assert page.page.inner_text("#answer").startswith("1 ·")
    assert [url for url in page.requests if not url.startswith(("blob:", "data:"))] == [where]
    assert page.complaints == []
    with socket.socket() as other:  # the policy, not chance: a request is refused
        other.bind(("127.0.0.1", 0))
        other.listen()
        script = f"fetch('http://127.0.0.1:{other.getsockname()[1]}/').then(() => 'sent', (error) => error.message)"
        assert page.page.evaluate(script) == "Failed to fetch"
        other.settimeout(0.2)
        with pytest.raises(TimeoutError):
            other.accept()
    page.page.close()


@pytest.mark.slow
def test_draw_turn_choose_a_layer_and_clear(browser, file):
    page = DrawingPage(browser, file.as_uri())
    assert page.page.inner_text("#answer").startswith("2 ·")
    assert page.page.locator("#maps figure").count() == 6
    page.page.click("button[aria-label='Example 3']")
    page.wait()
    assert page.page.inner_text("#answer").startswith("3 ·")
    upright = page.answer()
    page.quarter_turn()
    assert page.page.inner_text("#degrees") == "90°"
    assert page.page.inner_text("#answer").startswith("3 ·")
    assert "the same class" in page.page.inner_text("#poses-agree")
    turned = page.answer()
    assert not torch.allclose(turned.maps["poses"].sum(0), upright.maps["poses"].sum(0), atol=1e-3)
    page.page.locator("#angle").focus()
    page.page.keyboard.press("ArrowRight")
    page.wait()
    assert page.page.inner_text("#degrees") == "91°"
    page.page.select_option("#layer", "c3.attention")
    page.wait()
    assert page.page.evaluate("document.querySelectorAll('#maps canvas')[1].width") == 12
    page.page.click("#clear")
    page.wait()
    assert page.page.inner_text("#answer") == "Draw something."
    assert page.page.locator("#maps figure").count() == 0
    page.page.close()


@pytest.mark.slow
def test_strokes_follow_the_pointer_on_a_turned_board(browser, file, tmp_path):
    page = DrawingPage(browser, file.as_uri())
    for degrees in (0, 37, 90, 143, 270):
        page.page.click("#clear")
        page.turn(degrees)
        page.draw([[(0.3, 0.25), (0.3, 0.3)]])
        ink = 1 - read_pixels(page.save(tmp_path / "drawing.png"), 1)[0]
        where = torch.nonzero(ink > 0.5).float().mean(0) / ink.shape[0]
        torch.testing.assert_close(where, torch.tensor([0.275, 0.3]), atol=0.01, rtol=0)
    page.page.close()


@pytest.mark.slow
def test_a_phone_shows_it_without_scrolling_sideways(browser, file):
    page = DrawingPage(browser, file.as_uri(), viewport={"width": 320, "height": 640}, has_touch=True, is_mobile=True)
    assert page.page.evaluate("document.documentElement.scrollWidth") == 320
    box = page.page.locator("#board").bounding_box()
    page.page.touchscreen.tap(box["x"] + 50, box["y"] + 50)
    page.wait()
    assert page.page.evaluate("getComputedStyle(document.getElementById('board')).touchAction") == "none"
    controls = page.page.locator("button, select").all()
    assert min(control.bounding_box()["height"] for control in controls) >= 40
    page.page.close()


@pytest.mark.slow
def test_a_run_without_attention_and_with_stored_axes(browser, packed, tmp_path):
    torch.manual_seed(1)
    card = ModelCard(
        model="p4cnn", classes=("left", "right", "<b>"), image_shape=(1, 28, 28), mean=(0.2,), std=(0.4,),
        dataset="rot-mnist", source="remade", dataset_seed=0, protocol="validation", epoch=1, transposed=True,
        options={"channels": 4},
    )  # fmt: skip
    weights = tmp_path / "net.safetensors"
    save_weights(weights, ag.create_model("p4cnn", channels=4, num_classes=3), card)
    (tmp_path / "page.html").write_bytes(BUILD["build"](str(weights), archive=packed))
    page = DrawingPage(browser, (tmp_path / "page.html").as_uri())
    assert page.page.inner_text("#answer") == "Draw something."
    assert page.page.locator("#examples").is_hidden()
    page.draw([[(0.2, 0.2), (0.7, 0.3), (0.4, 0.8)]])
    found = page.answer()
    (expected,) = browser_page.python_answers(open_model(weights).trained, [page.save(tmp_path / "drawing.png")])
    torch.testing.assert_close(found.probabilities, expected.probabilities, atol=1e-4, rtol=0)
    # the network of the page takes upright images: its maps are upright, the poses are conjugated
    sums = found.maps["poses"].sum(0), expected.maps["poses"].sum(0).mT
    torch.testing.assert_close(*sums, atol=1e-4, rtol=1e-4)
    assert set(page.page.locator("#guesses th").all_inner_texts()) == set(card.classes)
    assert page.complaints == []
    page.page.close()
