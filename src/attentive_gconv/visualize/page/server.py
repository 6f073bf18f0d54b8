"""Gradio page of `agconv demo`, and its server.

It works offline: fonts are the system's, and a content security policy keeps the browser from other servers.
"""

import os
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attentive_gconv.checkpoints.weights import TrainedModel
from attentive_gconv.data.image_file import ImageError
from attentive_gconv.visualize.page import html_panels, input_images
from attentive_gconv.visualize.page.http_rules import PageRules
from attentive_gconv.visualize.page.network_view import view_network

FIRST = "6"
NONE = "none"
# seconds after which a visitor's uploads are removed
KEPT = 600


def _gradio() -> Any:
    # gradio reads these when it is imported
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import gradio
    except ImportError as error:
        raise ImportError(f"the page needs gradio ({error}): pip install 'attentive-gconv[demo]'") from error
    return gradio


class Handlers:
    """Event handlers of the page.

    Args:
        models: networks by displayed name.
    """

    def __init__(self, models: Mapping[str, TrainedModel]) -> None:
        self.models = models

    def show(
        self, pixels: np.ndarray, first: str, second: str, degrees: float, mirror: bool, invert: bool
    ) -> tuple[str, str]:
        """Panels of both networks."""
        image = torch.from_numpy(pixels)
        shown = [
            html_panels.view_panel(view_network(self.models[name], image, degrees, mirror=mirror, invert=invert))
            if name in self.models
            else ""
            for name in (first, second)
        ]
        return shown[0], shown[1]

    def draw(self, board: str | None, before: np.ndarray, *settings: Any) -> tuple[np.ndarray, str, str, str]:
        """Show a drawing; for an empty board, the first example."""
        array = before
        try:
            pixels = input_images.drawn(board)
            note = html_panels.message("your drawing" if pixels is not None else "an empty board: an example is shown")
            array = (pixels if pixels is not None else input_images.example(FIRST)).numpy()
        except ImageError as error:
            note = html_panels.message(str(error), problem=True)
        return array, *self.show(array, *settings), note

    def upload(self, path: str | None, before: np.ndarray, *settings: Any) -> tuple[np.ndarray, str, str, str]:
        """Show an uploaded file; if it cannot be read, the image before it stays."""
        array = before
        try:
            if path is None:
                raise ImageError("no file came through")
            if (size := os.path.getsize(path)) > input_images.MAX_UPLOAD:
                raise ImageError(f"the file has {size:,} bytes, more than {input_images.MAX_UPLOAD:,}")
            array = input_images.uploaded(Path(path)).numpy()
            note = html_panels.message(f"uploaded: {Path(path).name}")
        except ImageError as error:
            # the message must not reveal folders of this machine
            note = html_panels.message(str(error).replace(str(path), Path(path or "").name), problem=True)
        return array, *self.show(array, *settings), note

    def choose(self, name: str, *settings: Any) -> tuple[np.ndarray, str, str, str]:
        """Show one of the examples."""
        array = input_images.example(name).numpy()
        return array, *self.show(array, *settings), html_panels.message(f"example: a {name}")


def build_page(models: Mapping[str, TrainedModel]) -> Any:
    """Build the page as gradio's Blocks.

    Args:
        models: networks by displayed name; the page starts with the first, beside the first planar one if there is any.
    """
    gr = _gradio()
    handlers = Handlers(models)
    names = list(models)
    planar = [name for name in names[1:] if _group_order(models[name]) == 1]
    beside = (planar or names[1:] or [NONE])[0]
    start = input_images.example(FIRST).numpy()
    first_panels = handlers.show(start, names[0], beside, 0, False, False)
    with gr.Blocks(title="agconv demo", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as page:
        gr.Markdown(
            "## What does it attend to, and does that turn along?\nDraw a digit or upload an image, turn and mirror "
            "it. Bright is what the network keeps. At quarter turns the maps of a p4-network turn along exactly."
        )
        pixels = gr.State(start)
        with gr.Row():
            with gr.Column(scale=1, min_width=320):
                board = gr.HTML(
                    "",
                    html_template=html_panels.BOARD,
                    js_on_load=html_panels.BOARD_SCRIPT,
                    elem_id="board",
                    padding=False,
                )
                upload = gr.UploadButton("upload a PNG or JPEG", elem_id="upload", type="filepath")
                examples = gr.Radio(list(input_images.EXAMPLES), value=FIRST, label="or an example", elem_id="examples")
                note = gr.HTML(html_panels.message(f"example: a {FIRST}"), elem_id="note")
                degrees = gr.Slider(0, 360, 0, step=1, label="turn by degrees, counter-clockwise", elem_id="angle")
                mirror = gr.Checkbox(label="mirror (left and right)", elem_id="mirror")
                invert = gr.Checkbox(
                    label="exchange light and dark (for dark strokes on light paper)", elem_id="invert"
                )
            with gr.Column(scale=2, min_width=380):
                first = gr.Dropdown(names, value=names[0], label="network", elem_id="first")
                left = gr.HTML(first_panels[0], elem_id="left")
            with gr.Column(scale=2, min_width=380):
                second = gr.Dropdown([NONE, *names], value=beside, label="beside it", elem_id="second")
                right = gr.HTML(first_panels[1], elem_id="right")
        settings = [first, second, degrees, mirror, invert]
        quiet: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last", "api_visibility": "private"}
        for control in settings:
            control.change(handlers.show, [pixels, *settings], [left, right], **quiet)
        results = [pixels, left, right, note]
        board.input(handlers.draw, [board, pixels, *settings], results, **quiet)
        upload.upload(handlers.upload, [upload, pixels, *settings], results, **quiet)
        examples.input(handlers.choose, [examples, *settings], results, **quiet)
        # deselect the example
        for event in (board.input, upload.upload):
            event(lambda: None, None, examples, **quiet)
    return page


def serve(
    models: Mapping[str, TrainedModel], *, host: str = "127.0.0.1", port: int | None = None, block: bool = True
) -> str:
    """Serve the page.

    Args:
        models: as in `build_page`.
        host: address to listen on; the default accepts connections from this machine only.
        port: port; None for the first free one from 7860 on.
        block: wait until the process is interrupted, instead of returning at once.

    Returns:
        The URL of the page.
    """
    gr = _gradio()
    from starlette.middleware import Middleware

    # gradio stores uploads in this folder; it is removed when the process ends
    uploads = tempfile.TemporaryDirectory(prefix="agconv-demo-")
    weakref.finalize(gr, uploads.cleanup)
    os.environ["GRADIO_TEMP_DIR"] = uploads.name
    system = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    page = build_page(models)
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        share=False,
        prevent_thread_lock=True,
        quiet=True,
        # handlers report expected errors themselves; other errors could reveal folders of this machine
        show_error=False,
        footer_links=[],
        max_file_size=input_images.MAX_UPLOAD,
        theme=gr.themes.Base(**system),
        css=html_panels.CSS,
        ssr_mode=False,
        pwa=False,
        enable_monitoring=False,
        app_kwargs={"middleware": [Middleware(PageRules, listening_on=host)]},
    )
    if block:
        page.block_thread()
        uploads.cleanup()
    return str(address)


def _group_order(trained: TrainedModel) -> int:
    from attentive_gconv.visualize.explanation import group_of

    return group_of(trained.module).order
