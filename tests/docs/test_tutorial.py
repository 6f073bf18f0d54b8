"""The tutorial runs from the first cell to the last, and ends where it says."""

import json
import os
import sys
import warnings
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorials" / "explain.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    kernels = pytest.importorskip("jupyter_client.kernelspec")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path_factory.mktemp("tutorial")
    # a kernel of this interpreter, whatever is installed under the name python3
    specification = folder / "kernels" / "python3"
    specification.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": command, "display_name": "x", "language": "python"}
    (specification / "kernel.json").write_text(json.dumps(kernel))
    manager = kernels.KernelSpecManager(kernel_dirs=[str(folder / "kernels")], ensure_native_kernel=False)
    source = str(Path(__file__).parents[2] / "src")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the notebook's machinery, none of ours
        client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
        client.create_kernel_manager()
        client.km.kernel_spec_manager = manager
        client.execute(env=environment)
    return notebook


def outputs(notebook) -> list[dict]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


@pytest.mark.slow
def test_it_runs_and_shows_what_it_says(executed):
    shown = outputs(executed)
    assert not [output for output in shown if output.output_type == "error"]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 2, "the overview and the rotation sheet"
    text = " ".join(output.get("text", "") for output in shown)
    accuracy = int(text.split("accuracy on the test images: ")[1].split()[0])
    assert accuracy > 70
    assert "c2.0.attention.spatial_attention" in str(shown)


def test_it_is_stored_without_outputs():
    nbformat = pytest.importorskip("nbformat")
    assert outputs(nbformat.read(NOTEBOOK, as_version=4)) == []
