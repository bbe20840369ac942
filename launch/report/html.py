"""Renders parts of a run as stand-alone HTML, without external resources."""

import base64
from collections.abc import Collection
import io
import json
import pathlib
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from . import runs

_LARGEST = 12 * 2**20  # bytes of a figure; a larger figure is only named

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader(__package__, "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)


def render(template: str, **values: Any) -> str:
    """Fills in one of launch/report/templates; values are escaped."""
    return _ENVIRONMENT.get_template(template).render(**values)


def figures(run: runs.Run, names: Collection[str] | None = None) -> str:
    """Renders a run's figures, or those of some names."""
    found = [p for p in run.figures() if names is None or p.stem in names]
    return render("figures.html", figures=[_figure(path) for path in found])


def picture(pixels: np.ndarray) -> str:
    """Converts a picture, [height, width, 3] uint8, to a data URI."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return _uri("image/png", file.getvalue())


def config(run: runs.Run) -> str:
    """Returns a run's resolved config as JSON."""
    return json.dumps(run.config, indent=2)


def _figure(path: pathlib.Path) -> dict[str, str]:
    title = path.stem.replace("_", " ")
    if path.stem.isdigit():
        title = f"{path.parent.name}, step {int(path.stem):,}"
    size = path.stat().st_size
    if size > _LARGEST:
        text = f"{path.name}: {size / 2**20:.0f} MiB, too large to show here"
        return {"title": title, "kind": "text", "content": text}
    if path.suffix in runs.PICTURES:
        uri = _uri(runs.PICTURES[path.suffix], path.read_bytes())
        return {"title": title, "kind": "picture", "content": uri}
    if path.suffix in runs.SOUNDS:
        uri = _uri(runs.SOUNDS[path.suffix], path.read_bytes())
        return {"title": title, "kind": "sound", "content": uri}
    return {
        "title": title,
        "kind": "text",
        "content": path.read_text(errors="replace", encoding="utf-8"),
    }


def _uri(kind, content):
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
