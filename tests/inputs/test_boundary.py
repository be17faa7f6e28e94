"""What comes in and goes out: downloads are checked, the page is this machine's, and our own code calls nobody."""

from __future__ import annotations

import contextlib
import http.server
import ipaddress
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import cv2
import pytest

from asllib.data import sign_mnist
from asllib.errors import InputError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def served(tmp_path):
    """Address of a server on this machine's loopback, and what it serves by path."""
    content: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = content.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", content
    server.shutdown()
    server.server_close()


def test_a_downloaded_set_is_used_only_if_its_hash_is_right(served, tmp_path, monkeypatch):
    import kagglehub

    address, content = served
    monkeypatch.setenv("ASLLIB_CACHE", str(tmp_path / "cache"))

    def download(name, path, force_download):
        with urllib.request.urlopen(f"{address}/{path}", timeout=10) as reply:
            (tmp_path / path).write_bytes(reply.read())
        return str(tmp_path / path)

    monkeypatch.setattr(kagglehub, "dataset_download", download)
    for wrong in (b"", b"label,pixel1\n0,0\n"):
        content["/sign_mnist_train.csv"] = wrong
        with pytest.raises(InputError, match="sha256"):
            sign_mnist.fetch_sign_mnist()
        assert not list((tmp_path / "cache").glob("sign-mnist/*"))
    content.clear()
    with pytest.raises(InputError, match="cannot be downloaded"):
        sign_mnist.fetch_sign_mnist()


def test_the_page_wants_its_token_and_runs_no_code_of_the_folder(tmp_path):
    (tmp_path / "voila.py").write_text("import pathlib; pathlib.Path('sprung').touch()")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-P", "-m", "asllib.cli", "live", "--no-browser", "--port", str(port)]  # as `asl` does
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=environment,
    )  # fmt: skip
    try:
        url = process.stdout.readline().strip()
        token = re.fullmatch(rf"http://127\.0\.0\.1:{port}/\?token=(\S{{22}})", url)[1]

        def answer(query: str) -> str:
            """The page that the address leads to, by its first part."""
            address = f"http://127.0.0.1:{port}/{query}"
            with urllib.request.urlopen(address, timeout=60) as reply:
                assert reply.status == 200
                return reply.url.removeprefix(f"http://127.0.0.1:{port}/").partition("?")[0]

        assert [answer(""), answer("?token=x"), answer("api/kernels")] == ["login"] * 3
        assert answer(f"?token={token}") == ""
        with pytest.raises(OSError):  # another address of this machine
            socket.create_connection(("127.0.0.2", port), timeout=5)
        assert not (tmp_path / "sprung").exists()
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_jupyterlab_keeps_to_this_machine_and_has_a_token():
    from jupyter_server.auth.identity import IdentityProvider
    from jupyter_server.serverapp import ServerApp

    assert ServerApp.ip.default_value in ("localhost", "127.0.0.1") or ServerApp().ip in ("localhost", "127.0.0.1")
    assert len(IdentityProvider().token) >= 32
    lab = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "jupyter lab" in line)
    assert not re.search(r"ip=|token|password|allow_origin|remote|allow-root", lab)


WATCHED = """\
import json, sys
calls = []

def watch(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname",
                 "urllib.Request"):
        calls.append([event, repr(args[0] if event in ("socket.getaddrinfo", "urllib.Request") else args[-1])])

sys.addaudithook(watch)
import asllib
from asllib.data import read_image
recognizer = asllib.load_recognizer()
image = read_image(sys.argv[1])
letter = recognizer.predict([image])[0].letter
reading = asllib.read_text([(i / 10, image) for i in range(12)])
import psutil
open_now = [str(c.raddr) for c in psutil.Process().net_connections() if c.raddr]
print(json.dumps({"letter": letter, "hand": reading.hand_found, "calls": calls, "open": open_now}))
"""


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """The letter V."""
    from asllib.signer import render_letters

    path = tmp_path_factory.mktemp("photo") / "photo.png"
    cv2.imwrite(str(path), render_letters("V", signers=1, views=1).images[0][..., ::-1])
    return path


def test_no_python_code_calls_anybody_while_it_reads(photo):
    """Python's audit events do not see native code: MediaPipe's library sends Google metrics of its use, not frames.

    `strace -f -e trace=connect,sendmmsg` shows it look up play.googleapis.com; its package's privacy notice says so.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", WATCHED, photo], capture_output=True, text=True, timeout=300,
        env=environment,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["letter"] == "V" and found["hand"] > 0.5
    away = [call for call in found["calls"] if not re.search(r"127\.0\.0\.1|::1|localhost", call[1])]
    assert away == [] and [one for one in found["open"] if "127.0.0.1" not in one] == []


def without_network() -> list[str]:
    """Beginning of a command that runs in a namespace of its own, without even a loopback."""
    alone = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("this system gives no network namespace")
    return alone


LIVE = """\
import socket, sys
from pathlib import Path
from asllib.live.session import ReadingSession
watched = socket.create_connection(("127.0.0.1", int(sys.argv[3]))) if len(sys.argv) > 3 else None
session = ReadingSession()
session.answer({"type": "start", "view": "v", "time": 0.0})
for number, path in enumerate(sorted(Path(sys.argv[2]).glob("*.jpg")), 1):
    message = {"type": "frame", "view": "v", "id": number, "time": number / 15}
    reply, _ = session.answer(message, [path.read_bytes()])
print(reply["text"])
session.close()
"""


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """The word ASL, 15 frames a second, as the browser sends them."""
    from asllib.signer import render_word

    folder = tmp_path_factory.mktemp("frames")
    for number, frame in enumerate(render_word("ASL", signer=1, fps=15).frames):
        cv2.imwrite(str(folder / f"{number:04d}.jpg"), frame[..., ::-1])
    return folder


def test_reading_and_the_live_cells_session_need_no_network(photo, frames):
    """Native code included: in a namespace of its own a process has not even a loopback."""
    run = subprocess.run(
        [*without_network(), sys.executable, "-c", WATCHED + LIVE, photo, frames], capture_output=True, text=True,
        timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    said, text = run.stdout.splitlines()[-2:]
    found = json.loads(said)
    assert found["letter"] == "V" and found["hand"] > 0.5 and found["open"] == []
    assert text.strip() == "ASL"


def test_the_live_cells_session_is_connected_to_nobody(frames):
    """The system's list of its connections, native code included, is looked at while it reads."""
    import psutil

    seen = set()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-c", LIVE, "", frames, str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        while process.poll() is None:
            with contextlib.suppress(psutil.Error):
                seen |= {tuple(one.raddr) for one in psutil.Process(process.pid).net_connections() if one.raddr}
            time.sleep(0.01)
    assert process.stdout.read().strip() == "ASL"
    assert ("127.0.0.1", port) in seen  # connections are seen at all
    assert [one for one in seen if not (ipaddress.ip_address(one[0]).is_loopback or of_mediapipe(*one))] == []


def of_mediapipe(address: str, port: int) -> bool:
    """Whether a connection is MediaPipe's own, see above: to play.googleapis.com, or to ask for its address."""
    if port == 53:
        return True
    with contextlib.suppress(OSError):
        known = {found[4][0] for found in socket.getaddrinfo("play.googleapis.com", 443)}
        return port == 443 and (address in known or socket.gethostbyaddr(address)[0].endswith(".1e100.net"))
    return False
