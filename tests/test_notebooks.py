"""The notebooks run from top to bottom, and are kept with their outputs."""

import importlib.util
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MACHINE_PATH = re.compile(r"(?:/home/|/root/|/tmp/|/Users/|/private/|[A-Z]:\\\\)")
LARGEST = 700_000  # bytes

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# The tutorial always; the others, which take up to a minute each, in the long run.
some_notebooks = pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.variant] if number else [])
        for number, path in enumerate(NOTEBOOKS)
    ],
)


def runner():
    """`notebooks/run.py`, which is a script and no part of the package."""
    spec = importlib.util.spec_from_file_location("run_notebooks", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    """Without this, a moved folder would pass every test below."""
    assert NOTEBOOKS


@pytest.mark.compiled  # one trains 32 nets in one program
@some_notebooks
@pytest.mark.filterwarnings("ignore")  # those of the packages that run notebooks
def test_runs(path, monkeypatch):
    """Every cell runs, in order, in the Python of the tests, and shows something."""
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # compiles in less time
    before = path.read_bytes()
    if b"import torch" in before:
        pytest.importorskip("torch", reason="needs lenetjax[torch]")
    if b"import grain" in before:
        pytest.importorskip("grain", reason="needs lenetjax[grain]")
    notebook = runner().execute(path)
    assert all(cell.outputs for cell in code_cells(notebook))
    assert path.read_bytes() == before


@pytest.mark.filterwarnings("ignore")
def test_a_failing_cell_fails(tmp_path):
    """An error in a cell is not passed over, and names the cell's code."""
    from nbclient.exceptions import CellExecutionError

    path = tmp_path / "broken.ipynb"
    cell = nbformat.v4.new_code_cell("1 / 0")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    with pytest.raises(CellExecutionError, match="1 / 0"):
        runner().execute(path)


@every_notebook
def test_is_kept_as_it_ran(path):
    """Its cells are numbered 1 to n, each has an output, and none is an error."""
    cells = code_cells(nbformat.read(path, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert cell.outputs, cell.source
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", output.text


@every_notebook
def test_is_free_of_one_machine(path):
    """It has no paths of the machine that ran it, no times, and a modest size."""
    assert path.stat().st_size < LARGEST
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert not cell.metadata
        for output in cell.get("outputs", []):
            texts = [
                output.get("text", ""),
                output.get("data", {}).get("text/plain", ""),
            ]
            assert not any(map(MACHINE_PATH.search, texts)), texts
