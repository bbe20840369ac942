"""What tabs share that take pictures from visitors."""

import base64
import io
import pathlib
from typing import IO

import gradio as gr
from PIL import Image

from dlx.data import images
from dlx.errors import UserError
from launch.gallery.models import told

_LARGEST = 4096 * 4096  # pixels of an upload
_LONGEST = 2**18  # characters of a drawing
_BEFORE = "data:image/png;base64,"
_SHEET = """
<figure>
<canvas width="280" height="280" aria-label="${label}"></canvas>
<figcaption>${label} <button>clear</button></figcaption>
</figure>
"""
_LOOKS = """
figure { margin: 0; }
canvas {
  width: 100%; max-width: 280px; display: block; cursor: crosshair;
  border: 1px solid var(--border-color-primary); border-radius: 6px; touch-action: none;
}
button { all: unset; text-decoration: underline; cursor: pointer; }
"""


def pad(label: str, **options) -> tuple[gr.HTML, gr.State]:
    """To draw on with mouse or finger.

    Returns:
      The sheet, and what is on it: a grey picture, or None.
    """
    sheet = gr.HTML(
        label=label,
        html_template=_SHEET,
        css_template=_LOOKS,
        js_on_load=pathlib.Path(__file__).with_name("pad.js").read_text(),
        **options,
    )
    state = gr.State()

    @told
    def drawn(event: gr.EventData):
        return read(_bytes(event._data.get("picture")), "L")

    sheet.input(drawn, None, state, show_progress="hidden")
    sheet.clear(lambda: None, None, state, show_progress="hidden")
    return sheet, state


def upload(label: str, **options) -> gr.Image:
    """A picture from a visitor; handlers get its path, and look at it with `read`."""
    image = gr.Image(label=label, sources=["upload", "clipboard"], **options)
    # Gradio would decode it itself, of whatever size, and tell of failures at length.
    image.preprocess = lambda payload: payload and payload.path
    return image


def read(file: str | IO[bytes], mode: str = "RGB") -> Image.Image:
    """A visitor's picture, decoded; a UserError where it is none, or too large."""
    try:
        with Image.open(file) as header:
            if header.width * header.height > _LARGEST:
                raise UserError(
                    f"{header.width}x{header.height} pixels are too many: no more "
                    "than 4096x4096"
                )
        return images.read(file).convert(mode)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise UserError("that is not a picture") from None


def _bytes(text):
    if (
        not isinstance(text, str)
        or not text.startswith(_BEFORE)
        or len(text) > _LONGEST
    ):
        raise UserError("that is not a drawing")
    try:
        return io.BytesIO(base64.b64decode(text.removeprefix(_BEFORE), validate=True))
    except ValueError:
        raise UserError("that is not a drawing") from None
