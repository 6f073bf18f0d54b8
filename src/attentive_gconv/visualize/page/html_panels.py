"""HTML of a network's view: plain elements and inline images, without external resources."""

import base64
import html
import io

import numpy as np
from PIL import Image

from attentive_gconv.data.extras import import_extra
from attentive_gconv.visualize.page.input_images import CANVAS, PEN
from attentive_gconv.visualize.page.network_view import NetworkView

SIDE = 168
# larger errors of the maps are not rounding in float32
ROUNDING = 1e-3

CSS = """
.agc {font-family: system-ui, sans-serif; color: var(--body-text-color)}
.agc h3 {margin: 0 0 6px; font-size: 1.05rem}
.agc .row {display: flex; flex-wrap: wrap; gap: 8px; margin: 8px 0}
.agc figure {margin: 0; width: 168px} .agc figure.small {width: 92px}
.agc figure img {width: 100%; aspect-ratio: 1; image-rendering: pixelated; border-radius: 4px; display: block}
.agc figcaption {font-size: .8rem; margin-top: 2px}
.agc .bar {height: 12px; border-radius: 6px; background: #8884; overflow: hidden}
.agc .bar span {display: block; height: 100%; border-radius: 6px; background: #3b76c4}
.agc .bar span.good {background: #2f9e63} .agc .bar span.bad {background: #d0502f}
.agc table {border: 0 !important; border-spacing: 6px 2px; width: 100%; font-size: .9rem} .agc td.share {width: 55%}
.agc.board canvas {width: 280px; height: 280px; border: 1px solid #8888; border-radius: 4px; display: block;
  touch-action: none; cursor: crosshair; background: #fff; margin: 4px 0}
.agc.board button {border: 1px solid #8888; border-radius: 4px; padding: 2px 12px}
.agc td {border: 0 !important; padding: 1px 4px !important} .agc tr {border: 0 !important}
.agc .answer {font-size: 2rem; font-weight: 600; line-height: 1.1}
"""

BOARD = f"""
<div class="agc board"><div>draw here</div>
<canvas width="{CANVAS}" height="{CANVAS}" aria-label="drawing board"></canvas>
<button type="button">clear</button></div>
"""
# the drawing is sent whenever the pen is lifted
BOARD_SCRIPT = f"""
const canvas = element.querySelector('canvas'), pen = canvas.getContext('2d', {{willReadFrequently: true}});
const clear = () => {{ pen.fillStyle = '#fff'; pen.fillRect(0, 0, canvas.width, canvas.height); }};
const place = (event) => {{
  const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}};
const send = () => {{ props.value = canvas.toDataURL('image/png'); trigger('input'); }};
let down = false;
pen.lineWidth = {PEN}; pen.lineCap = pen.lineJoin = 'round'; pen.strokeStyle = '#000';
clear();
canvas.addEventListener('pointerdown', (event) => {{
  event.preventDefault(); canvas.setPointerCapture(event.pointerId);
  down = true; pen.beginPath(); pen.moveTo(...place(event)); pen.lineTo(...place(event)); pen.stroke();
}});
canvas.addEventListener('pointermove', (event) => {{ if (down) {{ pen.lineTo(...place(event)); pen.stroke(); }} }});
for (const end of ['pointerup', 'pointercancel'])
  canvas.addEventListener(end, () => {{ if (down) {{ down = false; send(); }} }});
element.querySelector('button').addEventListener('click', () => {{ clear(); send(); }});
"""


def view_panel(view: NetworkView) -> str:
    """The panel of one network: class, probabilities, maps, equivariance error."""
    explanation, display = view.explanation, view.display
    best, probability = view.guesses[0]
    kind = "attention keeps" if explanation.kind == "attention" else "activations"
    total = display.plane(explanation.sum)
    panels = [
        figure(grey(view.image), "what it sees"),
        figure(coloured(total, total.min(), total.max()), f"{kind}, sum over poses"),
    ]
    poses = []
    if explanation.group.order > 1:
        maps, shares = display.plane(explanation.poses), explanation.strengths.tolist()
        for h, arrow in display.poses(explanation.group):
            sign = f'<span style="display:inline-block;transform:rotate(-{arrow.degrees:g}deg)">↑</span>'
            caption = f"{sign} {html.escape(arrow.name)}: {100 * shares[h]:.0f} %"
            poses.append(figure(coloured(maps[h], maps.min(), maps.max()), caption, small=True))
    rows = "".join(
        f"<tr><td>{html.escape(label)}</td><td class=share>{bar(value)}</td><td>{100 * value:.1f} %</td></tr>"
        for label, value in view.guesses
    )
    return (
        f'<div class="agc"><h3>{html.escape(view.name)} ({html.escape(explanation.group.name)})</h3>'
        f'<div class="answer" data-answer="{html.escape(best)}">{html.escape(best)} '
        f"<small>{100 * probability:.1f} %</small></div><table>{rows}</table>"
        f'<div class="row">{"".join(panels)}</div><div class="row">{"".join(poses)}</div>{meter(view)}</div>'
    )


def meter(view: NetworkView) -> str:
    """The equivariance error of the map, at quarter turns and at this angle."""
    quarters = view.at_right_angles
    exact = quarters < ROUNDING
    verdict = "exact to rounding" if exact else "not equivariant"
    return (
        f"<div>equivariance: the map at quarter turns, {verdict} ({quarters:.1e})</div>"
        f"{bar(min(1.0, quarters), 'good' if exact else 'bad', at_least=0.01)}"
        f"<div>the map at this angle, with the grid's interpolation ({view.error:.2f})</div>"
        f"{bar(min(1.0, view.error), 'good' if view.error < ROUNDING else '', at_least=0.01)}"
    )


def message(text: str, problem: bool = False) -> str:
    """HTML of a message; its text is escaped."""
    role = "alert" if problem else "status"
    return f'<div class="agc" role="{role}">{"⚠ " if problem else ""}{html.escape(text)}</div>'


def bar(share: float, kind: str = "", at_least: float = 0.0) -> str:
    """A horizontal bar, filled to a fraction of 1."""
    return f'<div class="bar"><span class="{kind}" style="width:{100 * max(share, at_least):.1f}%"></span></div>'


def figure(pixels: np.ndarray, caption: str, small: bool = False) -> str:
    """An inline image, uint8 ``(Y, X, 3)``, with a caption in HTML."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    content = base64.b64encode(stream.getvalue()).decode()
    size = ' class="small"' if small else ""
    return (
        f'<figure{size}><img alt="" src="data:image/png;base64,{content}"><figcaption>{caption}</figcaption></figure>'
    )


def grey(image: np.ndarray) -> np.ndarray:
    """Pixels in [0, 1], grey or RGB, as uint8 RGB."""
    colours = image if image.ndim == 3 else np.repeat(image[..., None], 3, -1)
    return (colours * 255).round().astype(np.uint8)


def coloured(plane: np.ndarray, low: float, high: float) -> np.ndarray:
    """A map in the colour map of the figures, uint8 RGB."""
    colours = import_extra("matplotlib", "the page").colormaps["magma"]
    scaled = (plane - low) / (high - low) if high > low else np.zeros_like(plane)
    return colours(scaled, bytes=True)[..., :3]
