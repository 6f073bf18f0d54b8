import builtins
import os
import signal
import subprocess
import sys

import pytest
import typer

import attentive_gconv as ag
from attentive_gconv.cli import app as app_module
from attentive_gconv.cli import main

COMMANDS = tuple(typer.main.get_command(app_module.app).commands)


def test_help_names_every_command(agconv):
    result = agconv("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert command in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(agconv, command):
    result = agconv(command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.stdout


def test_version(agconv):
    assert agconv("--version").stdout == f"agconv {ag.__version__}\n"


def test_an_unknown_command_is_refused_with_the_nearest(agconv):
    result = agconv("trian")
    assert result.exit_code == 2
    assert "train" in result.stderr


def fail_with(error: Exception, monkeypatch) -> None:
    def command() -> None:
        raise error

    monkeypatch.setattr(app_module.app, "registered_commands", [])
    app_module.app.command("fail")(command)
    app_module.app.command("other")(lambda: None)


@pytest.mark.parametrize("error", [ValueError("epochs (=0)\n is bad"), FileNotFoundError("no file"), typer.Exit(3)])
def test_expected_errors_are_one_line(agconv, monkeypatch, error):
    fail_with(error, monkeypatch)
    result = agconv("fail")
    if isinstance(error, typer.Exit):
        assert result.exit_code == 3
    else:
        assert result.exit_code == 1
        assert result.stderr.startswith(f"agconv: {' '.join(str(error).split())}")
        assert result.stderr.count("\n") == 1
        assert "Traceback" not in result.stderr


def test_debug_shows_where_an_error_arose(agconv, monkeypatch):
    fail_with(ValueError("bad"), monkeypatch)
    assert isinstance(agconv("--debug", "fail").exception, ValueError)
    monkeypatch.setenv("AGCONV_DEBUG", "1")
    assert isinstance(agconv("fail").exception, ValueError)


def test_a_bug_is_not_hidden(agconv, monkeypatch):
    fail_with(AttributeError("a bug"), monkeypatch)
    assert isinstance(agconv("fail").exception, AttributeError)


def test_full_memory_names_the_remedy(agconv, monkeypatch):
    class OutOfMemoryError(RuntimeError):
        """Like torch's."""

    fail_with(OutOfMemoryError("CUDA out of memory. Tried to allocate"), monkeypatch)
    assert "smaller --batch-size" in agconv("fail").stderr
    fail_with(MemoryError(), monkeypatch)
    assert "smaller --batch-size" in agconv("fail").stderr


def test_a_missing_extra_says_what_to_install(monkeypatch):
    real_import = builtins.__import__

    def without_typer(name: str, *arguments, **options):
        if name == "typer" or name.startswith("typer."):
            raise ModuleNotFoundError("No module named 'typer'")
        return real_import(name, *arguments, **options)

    for name in [name for name in sys.modules if name.startswith("attentive_gconv.cli")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without_typer)
    with pytest.raises(SystemExit, match=r"pip install 'attentive-gconv\[train\]'"):
        main()


def test_a_warning_is_a_line_without_a_place_in_the_code():
    code = (
        "import sys, warnings\nfrom attentive_gconv.cli import main\nsys.argv = ['agconv', '--version']\n"
        "try:\n    main()\nexcept SystemExit:\n    warnings.warn('odd', RuntimeWarning)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "agconv: odd (RuntimeWarning)\n"


def test_it_runs_as_a_module():
    command = [sys.executable, "-W", "error", "-m", "attentive_gconv", "models", "z2cnn", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert '"parameters": 21620' in done.stdout
    assert done.stderr == ""


def test_the_list_of_networks_needs_no_pytorch():
    code = (
        "import sys; from typer.testing import CliRunner; from attentive_gconv.cli.app import app\n"
        "assert 'p4cnn' in CliRunner().invoke(app, ['models']).stdout\n"
        "print([name for name in ('torch', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_imports_nothing_slow():
    code = (
        "import sys; from typer.testing import CliRunner; from attentive_gconv.cli.app import app\n"
        f"for words in [[], *([name] for name in {COMMANDS})]:\n"
        "    assert 'Usage' in CliRunner().invoke(app, [*words, '--help']).stdout\n"
        "print([name for name in ('torch', 'numpy', 'lightning', 'torchmetrics', 'torchvision', 'sklearn', 'yaml', "
        "'matplotlib', 'PIL', 'scipy', 'onnx', 'onnxruntime', 'gradio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_memory_that_pytorch_cannot_have_is_one_line(agconv, monkeypatch):
    import torch

    def command() -> None:
        torch.empty(10**15)

    monkeypatch.setattr(app_module.app, "registered_commands", [])
    app_module.app.command("fail")(command)
    app_module.app.command("other")(lambda: None)
    result = agconv("fail")
    assert result.exit_code == 1
    assert result.stderr.startswith("agconv: the memory is full: take a smaller --batch-size")
    assert result.stderr.count("\n") == 1


def test_an_encoding_without_our_characters_is_no_error():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", "attentive_gconv", "data"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "28\\xd728" in done.stdout


SLEEPER = """
import sys, time
from pathlib import Path
from attentive_gconv.cli import app, main
from attentive_gconv.files import atomic_path

@app.app.command("sleep")
def sleep(path: Path) -> None:
    with atomic_path(path) as partial:
        partial.write_text("half")
        print("ready", flush=True)
        time.sleep(60)

sys.argv = ["agconv", "sleep", sys.argv[1]]
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that can be handled")
def test_sigterm_leaves_no_temporary_file(tmp_path):
    """Of a download of gigabytes, a hidden file stayed for good; of a table, the processes went on."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SLEEPER, str(tmp_path / "file")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert list(tmp_path.iterdir())
        process.terminate()
        assert process.wait(timeout=60) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []
