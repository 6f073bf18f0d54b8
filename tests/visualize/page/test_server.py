"""The page's server without a browser: who may ask, what is answered, and what stays on disk."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("gradio")

from attentive_gconv.visualize.page.http_rules import may_be_asked_for

SECONDS = 120


class Server:
    """`agconv demo` in a process of its own, with a temporary folder and a working directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.temporary, self.working = folder / "temporary", folder / "working-directory"
        for made in (self.temporary, self.working):
            made.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = (folder / "log").open("w+")
        command = [sys.executable, "-m", "attentive_gconv", "demo", "--port", str(self.port)]
        environment = {**os.environ, "TMPDIR": str(self.temporary)}
        environment.pop("GRADIO_TEMP_DIR", None)
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=subprocess.STDOUT, env=environment, cwd=self.working
        )
        for _ in range(10 * SECONDS):
            assert self.process.poll() is None, Path(self.log.name).read_text()
            try:
                self.ask("/")
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
        raise AssertionError(f"no page after {SECONDS} s")

    def ask(self, path: str, content: bytes | None = None, **headers: str) -> str:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", content, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def upload(self, content: bytes) -> str:
        """The path of an uploaded file, as the server says it."""
        border = "border"
        head = f'--{border}\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        body = head.encode() + content + f"\r\n--{border}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={border}"}
        return json.loads(self.ask("/gradio_api/upload", body, **kind))[0]

    def handle_upload(self, path: str) -> str:
        """All that the server says when the page's own upload event is sent with a path."""
        config = json.loads(self.ask("/config"))
        events = config["dependencies"]
        event = next(one for one in events if any(target[1] == "upload" for target in one["targets"]))
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        data = [file, None, "alpha_f_p4cnn", "none", 0, False, False]
        body = json.dumps({"data": data, "fn_index": event["id"], "session_hash": "s"}).encode()
        joined = self.ask("/gradio_api/queue/join", body, **{"Content-Type": "application/json"})
        return joined + self.ask("/gradio_api/queue/data?session_hash=s")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("page"))
    yield server
    server.process.terminate()
    server.process.wait(30)
    server.log.close()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", ""])
def test_other_names_are_refused(server, host):
    with pytest.raises(urllib.error.HTTPError) as caught:
        server.ask("/config", Host=host)
    assert caught.value.code == 400
    caught.value.close()


def test_own_names_are_answered(server):
    for host in ("localhost", f"127.0.0.1:{server.port}", "[::1]", socket.gethostname()):
        assert "dependencies" in server.ask("/config", Host=host)


def test_names_that_a_server_may_be_asked_for():
    assert may_be_asked_for("My-Host.example:80", "my-host.example")
    assert not may_be_asked_for("localhost.evil.example", "127.0.0.1")


@pytest.mark.parametrize("path", ["made-up.png", "../log", "/etc/passwd"])
def test_a_made_up_path_says_nothing_of_the_machine(server, path):
    said = server.handle_upload(path)
    assert '"success":false' in said
    for told in (server.working.name, server.temporary.name, "root:", "passwd"):
        assert told not in said
    with pytest.raises(urllib.error.HTTPError) as caught:
        server.ask(f"/gradio_api/file={path}")
    assert server.working.name not in caught.value.read().decode()


def test_uploads_are_shown_and_removed_at_the_end(server):
    image = server.working / "a.png"
    Image.radial_gradient("L").save(image)
    path = server.upload(image.read_bytes())
    assert Path(path).is_file()
    assert server.temporary in Path(path).parents
    assert "uploaded: a.png" in server.handle_upload(path)
    server.process.terminate()
    assert server.process.wait(60) == 143
    assert [str(left) for left in server.temporary.rglob("*") if left.is_file()] == []
