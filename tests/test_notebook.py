"""The notebook: stripped of outputs, and every cell runs where dlx is installed."""

import importlib.util
import pathlib

import pytest

PATH = pathlib.Path(__file__).parents[1] / "docs" / "quickstart.ipynb"


def _read():
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    notebook = nbformat.read(PATH, as_version=4)
    nbformat.validate(notebook)
    return notebook


def test_the_notebook_has_no_outputs():
    code = [cell for cell in _read().cells if cell.cell_type == "code"]
    assert code and not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.slow
def test_every_cell_runs(tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    if importlib.util.find_spec("dlx.launch") is None:
        pytest.skip("dlx is not installed as it is now: pip install -e .")
    notebook = _read()
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()
    pictures = [
        list(output.data)
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "data" in output and "text/plain" in output.data and "image" in str(output)
    ]
    assert [kinds[0] for kinds in pictures] == ["image/gif", "image/png", "image/png"]
    text = str(notebook.cells)
    assert "'perfect_starts': 256.0" in text, "the agent catches every rock"
    assert not list(tmp_path.iterdir()), "runs are kept in a temporary folder"
