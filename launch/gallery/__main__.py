"""Serves a web page that shows the runs below a folder and uses their models.

    python -m launch.gallery --root=runs

It requires `pip install -e '.[gallery]'`. The page has no access control: everybody who
can reach --host can use it.
"""

import os
import pathlib
import socket
import tempfile

from .. import start  # isort: skip, it quietens XLA before anything loads it

from absl import flags

from dlx.errors import UserError

_ROOT = start.path_flag("root", "runs", "The folder that contains the runs.")
_HOST = flags.DEFINE_string("host", "localhost", "The address to listen on.")
_PORT = flags.DEFINE_integer(
    "port", 7860, "The port to listen on; 0 for any.", lower_bound=0, upper_bound=65535
)
_WEIGHTS = flags.DEFINE_string(
    "weights",
    "random",
    "Weights for style transfer, like config.weights of configs/style.py.",
)


def main() -> None:
    root = _ROOT.value.absolute()
    if not root.is_dir():
        raise UserError(f"there is no folder {root}")
    with tempfile.TemporaryDirectory(prefix="dlx-gallery-") as folder:
        # Gradio reads these when it is imported.
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}
        try:
            from . import page, server
        except ImportError as error:
            raise UserError(f"{error}; run pip install -e '.[gallery]'") from None
        _serve(page.make(root, _WEIGHTS.value), root, folder, server)


def _serve(blocks, root, folder, server):
    with _listening() as listener:
        host, port = listener.getsockname()[:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        print(f"{root}: {url} (Ctrl-C stops it)", flush=True)
        server.serve(blocks, pathlib.Path(folder), listener)


def _listening():
    """A socket that is bound to --host and --port."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            _HOST.value, _PORT.value, type=socket.SOCK_STREAM
        )[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise UserError(
            f"cannot listen on {_HOST.value}:{_PORT.value}: {error.strerror}"
        ) from None
    return listener


if __name__ == "__main__":
    start.run(main)
