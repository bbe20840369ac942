"""The page's web server, with limits on uploads and on the files it serves."""

import pathlib
import socket
import urllib.parse

import fastapi
import gradio as gr
import uvicorn

LARGEST_UPLOAD = 10 * 2**20  # bytes
MOST_UPLOADS = 200  # files stored at a time, of all visitors


class Guard:
    """ASGI middleware that limits uploads, and serves only files below one folder.

    Without it, Gradio serves other files and fetches any address that a visitor names.
    """

    def __init__(self, app, folder: pathlib.Path):
        """Wraps an ASGI application.

        Args:
          app: The application.
          folder: Gradio's folder of uploads and results.
        """
        self._app, self._folder = app, folder

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and (refusal := self._refusal(scope)):
            code, text = refusal
            response = fastapi.responses.PlainTextResponse(text, code)
            return await response(scope, receive, send)
        await self._app(scope, receive, send)

    def _refusal(self, scope):
        """The status and text of a refused request; None if it is allowed."""
        path = urllib.parse.unquote(scope["path"])
        if "/upload" in path and scope["method"] == "POST":
            headers = dict(scope["headers"])
            length = headers.get(b"content-length", b"")
            if not length.isdigit():
                return 411, "Content-Length required"
            if int(length) > LARGEST_UPLOAD + 2**16:
                return 413, f"uploads are limited to {LARGEST_UPLOAD // 2**20} MiB"
            if sum(path.is_file() for path in self._folder.rglob("*")) >= MOST_UPLOADS:
                return 429, "too many uploads; try again later"
        for route in "file=", "file/":
            _, matched, requested = path.partition(f"/{route}")
            if matched and not self._is_below_folder(requested):
                return 403, "forbidden"
        return None

    def _is_below_folder(self, requested):
        try:
            file = pathlib.Path(requested).resolve()
        except (OSError, ValueError):
            return False
        return requested.startswith("/") and file.is_relative_to(self._folder.resolve())


def serve(blocks: gr.Blocks, folder: pathlib.Path, listener: socket.socket) -> None:
    """Serves the page until a signal stops it.

    Args:
      blocks: The page.
      folder: Gradio's folder of uploads and results, $GRADIO_TEMP_DIR.
      listener: A bound socket.
    """
    config = uvicorn.Config(application(blocks, folder), log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


def application(blocks: gr.Blocks, folder: pathlib.Path) -> fastapi.FastAPI:
    """Returns the page as an ASGI application whose uploads are stored in a folder."""
    blocks.queue(max_size=100, default_concurrency_limit=4)
    # `launch` sets this, `mount_gradio_app` does not. Without it Gradio trusts paths in
    # events as if the page's code named them, and copies the files to where it serves.
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
        css=(pathlib.Path(__file__).parent / "page.css").read_text(encoding="utf-8"),
    )
