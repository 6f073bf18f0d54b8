"""One HTML file with a network in it: draw, turn, see the prediction and the maps, without Python and without a server.

    python examples/browser_page/build.py [NETWORK] --out page.html

NETWORK is a run folder, a .safetensors file or the name of shipped weights; its images are square and grey. The file
holds

- the network as ONNX, with the maps of `attentive_gconv.explain` as further outputs, and its model card;
- onnxruntime-web (MIT), from the npm registry with ``npm pack``; the archive's SHA-512 is checked;
- page.html, page.css and page.js, which lie beside this script.

It makes no request, and its content security policy forbids every one. Exit status 3: onnxruntime-web cannot be had.
"""

import argparse
import base64
import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

import attentive_gconv as ag
from attentive_gconv.checkpoints import TrainedModel, list_pretrained, open_model
from attentive_gconv.checkpoints.pretrained import DEFAULT, pretrained_file
from attentive_gconv.files import write_atomically
from attentive_gconv.visualize.display import Display
from attentive_gconv.visualize.page.input_images import CANVAS, EXAMPLES, PEN

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
RUNTIME, WASM = "package/dist/ort.wasm.bundle.min.mjs", "package/dist/ort-wasm-simd-threaded.wasm"
# the archive has 33 MB; npm would otherwise try for minutes
NPM_OPTIONS = ("--loglevel=error", "--prefer-offline", "--fetch-retries=1", "--fetch-retry-mintimeout=1000")
HERE = Path(__file__).parent
CARD = "attentive_gconv"
UNAVAILABLE = 3


class RegistryError(OSError):
    """The npm registry, or npm itself, is not there."""


class WithMaps(nn.Module):
    """A network that returns the logits and the maps of `attentive_gconv.explain`: their product, then each layer's."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Logits ``(B, classes)``, product ``(B, |H|, Y, X)``, layers ``(B, |H| or 1, Y_l, X_l)``."""
        explanation = ag.explain(self.network, images)
        return explanation.output, explanation.poses, *explanation.layers.values()


def upright(trained: TrainedModel) -> TrainedModel:
    """The network, made to take upright images of the page's kind.

    Raises:
        ValueError: if its images are not square and grey.
    """
    channels, height, width = trained.card.image_shape
    if channels != 1 or height != width:
        raise ValueError(
            f"the page draws square grey images; the network takes (C, Y, X) = {(channels, height, width)}"
        )
    if not trained.card.transposed:
        return trained
    return TrainedModel(ag.nn.transpose_kernels_(trained.module), replace(trained.card, transposed=False))


def exported(trained: TrainedModel, license: str) -> tuple[bytes, dict[str, Any]]:
    """The network with its maps as an ONNX file, and what the page has to know of it."""
    blank = torch.zeros(trained.card.image_shape)
    explanation = ag.explain(trained.module, blank)
    maps = ["poses", *explanation.layers]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        model = WithMaps(trained.module).eval()
        ag.export.export(model, path, card=trained.card, license=license, outputs=["logits", *maps])
        content = path.read_bytes()
    metadata = {entry.key: entry.value for entry in onnx.load_model_from_string(content).metadata_props}
    card = json.loads(metadata[CARD])
    arrows = Display().poses(explanation.group)
    return content, {
        "card": card,
        "license": metadata["license"],
        "sha256": metadata["sha256"],
        "maps": maps,
        "kind": explanation.kind,
        "poses": [{"index": index, "degrees": arrow.degrees, "name": arrow.name} for index, arrow in arrows],
        "board": {"side": CANVAS, "pen": PEN},
        "examples": {name: _scaled(strokes) for name, strokes in EXAMPLES.items() if name in card["classes"]},
    }


def _scaled(strokes: list[list[tuple[int, int]]]) -> list[list[tuple[float, float]]]:
    return [[(x * CANVAS / 100, y * CANVAS / 100) for x, y in stroke] for stroke in strokes]


def runtime(archive: Path | None = None, package: str = PACKAGE, sha512: str = SHA512) -> tuple[bytes, bytes]:
    """JavaScript and WebAssembly of onnxruntime-web.

    Args:
        archive: the package's ``.tgz``; None gets it with ``npm pack``.
        package: name and version.
        sha512: of the archive, in base64, as npm states it.

    Raises:
        RegistryError: if npm is missing or fails.
        ValueError: if the archive is another file.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = _packed_by_npm(package, Path(folder)) if archive is None else archive
        found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != sha512:
            raise ValueError(f"{archive.name} has the SHA-512 {found}, not {sha512} of {package}: fetch it again")
        with tarfile.open(archive) as files:
            script, binary = (files.extractfile(name).read() for name in (RUNTIME, WASM))  # type: ignore[union-attr]
    return script, binary


def _packed_by_npm(package: str, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise RegistryError(f"npm, which gets {package}, is not installed: install Node.js, or give the --archive")
    done = subprocess.run([npm, "pack", package, *NPM_OPTIONS], cwd=folder, capture_output=True, text=True)
    archives = list(folder.glob("*.tgz"))
    if done.returncode or not archives:
        lines = [line.removeprefix("npm error ") for line in done.stderr.splitlines()]
        reason = ", ".join(lines[:4]) or f"exit status {done.returncode}"
        raise RegistryError(f"npm cannot get {package} ({reason}): try again later, or give the --archive")
    return archives[0]


def page(network: bytes, about: dict[str, Any], script: bytes, binary: bytes) -> bytes:
    """The HTML file."""
    own = {part: (HERE / f"page.{part}").read_text(encoding="utf-8") for part in ("html", "css", "js")}
    policy = (
        f"default-src 'none'; script-src '{_hash(own['js'])}' 'wasm-unsafe-eval' blob:; "
        f"style-src '{_hash(own['css'])}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "POLICY": policy,
        "STYLE": own["css"],
        "SCRIPT": own["js"],
        "VERSION": VERSION,
        "ABOUT": json.dumps(about).replace("<", "\\u003c"),
        "NETWORK": _packed(network),
        "RUNTIME": _packed(script),
        "WASM": _packed(binary),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], own["html"]).encode()


def _hash(text: str) -> str:
    """As a content security policy names an inline script or style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def build(network: str = DEFAULT, *, license: str = "", archive: Path | None = None) -> bytes:
    """The page of a network.

    Args:
        network: as `attentive_gconv.checkpoints.open_model` takes it.
        license: of the weights; the package's own are under MIT.
        archive: as in `runtime`.

    Raises:
        RegistryError: if onnxruntime-web cannot be had.
        ValueError: if the network does not take square grey images, or the archive is another file.
    """
    script, binary = runtime(archive)
    opened = open_model(network)
    shipped = opened.origin in map(pretrained_file, list_pretrained())
    content, about = exported(upright(opened.trained), license or ("MIT" if shipped else ""))
    return page(content, about, script, binary)


def main() -> int:
    """Read the command line; build and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("network", nargs="?", default=DEFAULT, help=f"run, weights or name (default: {DEFAULT})")
    parser.add_argument("--out", type=Path, default=Path("page.html"), help="file to write (default: page.html)")
    parser.add_argument("--license", default="", help="licence of the weights; the package's own are under MIT")
    parser.add_argument("--archive", type=Path, help=f"the .tgz of {PACKAGE}; default: got with npm")
    arguments = parser.parse_args()
    try:
        content = build(arguments.network, license=arguments.license, archive=arguments.archive)
    except RegistryError as error:
        print(error, file=sys.stderr)
        return UNAVAILABLE
    write_atomically(arguments.out, content)
    print(f"wrote {arguments.out} ({len(content) / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
