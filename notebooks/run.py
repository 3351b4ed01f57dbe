"""Runs notebooks from top to bottom and writes their outputs into them.

    python notebooks/run.py                 all that lie beside this file
    python notebooks/run.py some.ipynb      these

The kernel is the Python that runs this script, on the CPU. What would differ from one
run to the next (times, versions) is left out, so that a change in a notebook shows.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SECONDS = 600  # for each cell


def execute(path: Path) -> Any:
    """Runs a notebook in an empty folder and returns it, with its outputs.

    Raises:
      nbclient.exceptions.CellExecutionError: a cell fails.
    """
    import nbformat
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    # Without folders to look in, "python3" is this very Python.
    specs = KernelSpecManager(kernel_dirs=[])
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            km=AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs),
            timeout=SECONDS,
            coalesce_streams=True,
            extra_arguments=["--log-level=ERROR"],
            record_timing=False,
            resources={"metadata": {"path": folder}},
        )
        # The kernel of a given manager is left running, unless told otherwise.
        client.execute(cleanup_kc=True, env=environment(folder))
    return cleaned(notebook)


def environment(folder: str) -> dict[str, str]:
    """The kernel's: this repository's lenetjax, the CPU, nobody's own settings."""
    paths = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    return os.environ | {
        "IPYTHONDIR": folder,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONWARNINGS": "default",
    }


def cleaned(notebook: Any) -> Any:
    """The notebook without what depends on where and when it ran."""
    notebook.metadata = {
        "kernelspec": {
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        },
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
    return notebook


def main() -> None:
    """Runs the notebooks named on the command line, or all of them."""
    import nbformat

    paths = [Path(name) for name in sys.argv[1:]] or sorted(HERE.glob("*.ipynb"))
    for path in paths:
        nbformat.write(execute(path), path)
        print(f"ran {path.name}")


if __name__ == "__main__":
    main()
