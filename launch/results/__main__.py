"""Writes tables of results from the runs and sweeps below a folder.

    python -m launch.results --root=runs --out=docs/results.md

It reads the folders of finished runs only. A file with the marks `<!-- results -->` and
`<!-- /results -->`, such as README.md, gets a short table between them.
"""

from .. import start  # isort: skip, it quietens XLA before anything loads it

from dlx import paths
from dlx.errors import UserError
from dlx.runtime.writers import to_json, write_whole

from . import markdown, tables

_ROOT = start.path_flag("root", "runs", "The folder that contains runs and sweeps.")
_OUT = start.path_flag("out", "docs/results.md", "The page to write.")
_JSON = start.path_flag("json", "docs/results.json", "The numbers to write.")
_README = start.path_flag("readme", "README.md", "The file with marks, if it is there.")


def main() -> None:
    if not _ROOT.value.is_dir():
        raise UserError(f"--root={_ROOT.value} is not a folder")
    results = tables.collect(_ROOT.value)
    if not results["tables"]:
        raise UserError(f"there is no finished run below {_ROOT.value}")
    texts = {
        _JSON.value: to_json(results, indent=1) + "\n",
        _OUT.value: markdown.page(results),
    }
    if _README.value.is_file():
        text = paths.read_text(_README.value)
        if markdown.has_block(text):
            texts[_README.value] = markdown.with_block(text, results)
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from None
        print(path)


if __name__ == "__main__":
    start.run(main)
