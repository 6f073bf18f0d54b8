import json
import subprocess
from pathlib import Path

import torch

from attentive_gconv import environment


def test_the_description_is_plain_and_names_versions():
    facts = json.loads(json.dumps(environment.describe_environment()))
    assert facts["packages"]["torch"] == torch.__version__.split("+")[0]
    assert facts["python"].startswith("3.")


def test_a_missing_package_is_described_as_none(monkeypatch):
    monkeypatch.setattr(environment, "PACKAGES", ("no-such-package",))
    assert environment.describe_environment()["packages"] == {"no-such-package": None}


def test_the_revision_is_that_of_the_librarys_own_checkout(tmp_path, monkeypatch):
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    module = tmp_path / Path(environment.__file__).name
    module.write_text("")
    monkeypatch.setattr(environment, "__file__", str(module))
    assert environment.git_revision() is None
    git("init")
    # inside a checkout, but not part of it
    assert environment.git_revision() is None
    git("add", ".")
    git("commit", "-m", "one")
    assert environment.git_revision() == git("rev-parse", "HEAD")
    module.write_text("# changed")
    assert environment.git_revision() == git("rev-parse", "HEAD") + "-dirty"
