"""The notebook in docs/ runs from its first cell to its last, in a kernel of its own, as a reader would run it."""

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.ipynb")), ids=lambda page: page.name)
def test_the_notebook_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    notebook = nbformat.read(page, as_version=4)
    # Sockets in the file system, because ports may be taken or forbidden; their names are relative to here.
    monkeypatch.chdir(tmp_path)
    config = Config({"KernelManager": {"transport": "ipc"}})
    client = NotebookClient(notebook, config=config, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()  # a cell that raises, as an assertion that does not hold, raises here
    printed = "".join(
        output.get("text", "") for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    )
    # A command that fails in a cell raises nothing.
    assert "Traceback" not in printed
    assert "cuvee:" not in printed
    assert [line for line in printed.splitlines() if line.startswith("exit code")] == ["exit code 1", "exit code 0"]
