"""The server of the page, and what it does not let in or out."""

import pathlib
import socket
import urllib.parse

import fastapi
import gradio as gr
import uvicorn

LARGEST_UPLOAD = 10 * 2**20  # bytes
MOST_UPLOADS = 200  # kept at a time, of all visitors


class Guard:
    """ASGI middleware: no more uploads than there is room for; no file but those.

    Gradio serves what lies in its own folder of uploads and results. It would also
    fetch addresses for whoever asks.
    """

    def __init__(self, app, folder: pathlib.Path):
        self._app, self._folder = app, folder

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and (refusal := self._refusal(scope)):
            code, text = refusal
            response = fastapi.responses.PlainTextResponse(text, code)
            return await response(scope, receive, send)
        await self._app(scope, receive, send)

    def _refusal(self, scope):
        path = urllib.parse.unquote(scope["path"])
        if "/upload" in path and scope["method"] == "POST":
            headers = dict(scope["headers"])
            length = headers.get(b"content-length", b"")
            if not length.isdigit():
                return 411, "Content-Length required"
            if int(length) > LARGEST_UPLOAD + 2**16:
                return 413, f"no more than {LARGEST_UPLOAD // 2**20} MiB"
            if sum(path.is_file() for path in self._folder.rglob("*")) >= MOST_UPLOADS:
                return 429, "too many pictures at the moment; try again later"
        for route in "file=", "file/":
            _, found, wanted = path.partition(f"/{route}")
            if found and not self._is_ours(wanted):
                return 403, "forbidden"
        return None

    def _is_ours(self, wanted):
        try:
            file = pathlib.Path(wanted).resolve()
        except (OSError, ValueError):
            return False
        return wanted.startswith("/") and file.is_relative_to(self._folder.resolve())


def serve(blocks: gr.Blocks, folder: pathlib.Path, listener: socket.socket) -> None:
    """Serves until a signal ends it.

    Args:
      blocks: The page.
      folder: Where Gradio keeps uploads and results: $GRADIO_TEMP_DIR.
      listener: A bound socket.
    """
    config = uvicorn.Config(application(blocks, folder), log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


def application(blocks: gr.Blocks, folder: pathlib.Path) -> fastapi.FastAPI:
    """The page as an ASGI application whose uploads lie in a folder."""
    blocks.queue(max_size=100, default_concurrency_limit=4)
    # `launch` sets this, `mount_gradio_app` does not. Without it Gradio copies whatever
    # file an event names to where it is served, as if the page's own code named it.
    blocks.has_launched = True
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, folder=folder)
    return gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        max_file_size=LARGEST_UPLOAD,
        footer_links=[],
        show_error=True,
        ssr_mode=False,
        run_history=False,
        theme=gr.themes.Default(
            font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
        ),
        css=(pathlib.Path(__file__).parent / "page.css").read_text(),
    )
