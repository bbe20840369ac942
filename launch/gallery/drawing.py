"""Input of pictures: a pad to draw on, and uploads."""

import base64
import io
import pathlib
from typing import IO

import gradio as gr
from PIL import Image

from dlx.data import images
from dlx.errors import UserError

from .models import LATEST, show_user_errors

_LARGEST = 4096 * 4096  # pixels of an upload
_LONGEST = 2**18  # characters of a drawing
_PREFIX = "data:image/png;base64,"
_HTML = """
<figure>
<canvas width="280" height="280" aria-label="${label}"></canvas>
<figcaption>${label} <button>clear</button></figcaption>
</figure>
"""
_CSS = """
figure { margin: 0; }
canvas {
  width: 100%; max-width: 280px; display: block; cursor: crosshair;
  border: 1px solid var(--border-color-primary); border-radius: 6px; touch-action: none;
}
button { all: unset; text-decoration: underline; cursor: pointer; }
"""


def pad(label: str, **options) -> tuple[gr.HTML, gr.State]:
    """Creates a pad to draw on with mouse or finger.

    Returns:
      The pad, and a state with its drawing: a grey picture, or None if it is empty.
    """
    sheet = gr.HTML(
        label=label,
        html_template=_HTML,
        css_template=_CSS,
        js_on_load=pathlib.Path(__file__)
        .with_name("pad.js")
        .read_text(encoding="utf-8"),
        **options,
    )
    state = gr.State()

    @show_user_errors
    def drawn(event: gr.EventData):
        return read(_bytes(event._data.get("picture")), "L")

    sheet.input(drawn, None, state, **LATEST)
    sheet.clear(lambda: None, None, state, show_progress="hidden")
    return sheet, state


def upload(label: str, **options) -> gr.Image:
    """Creates an input for a picture; handlers get its path, for `read`."""
    image = gr.Image(label=label, sources=["upload", "clipboard"], **options)
    # Gradio itself would decode pictures of any size and print tracebacks of failures.
    image.preprocess = lambda payload: payload and payload.path
    return image


def read(file: str | IO[bytes], mode: str = "RGB") -> Image.Image:
    """Decodes a visitor's picture. Raises UserError if it is invalid or too large."""
    try:
        with Image.open(file) as header:
            if header.width * header.height > _LARGEST:
                raise UserError(
                    f"the picture has {header.width}x{header.height} pixels; the "
                    "maximum is 4096x4096"
                )
        return images.read(file).convert(mode)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise UserError("the file is not a picture") from None


def _bytes(text):
    """The PNG file in a data URI. Raises UserError if the URI is invalid."""
    if (
        not isinstance(text, str)
        or not text.startswith(_PREFIX)
        or len(text) > _LONGEST
    ):
        raise UserError("the drawing is not a PNG data URI, or too large")
    try:
        return io.BytesIO(base64.b64decode(text.removeprefix(_PREFIX), validate=True))
    except ValueError:
        raise UserError("the drawing is not valid base64") from None
