"""The live cell as a page of its own, through Voila, on this machine's loopback address."""

import logging
import os
import secrets
import socket
import tempfile
import threading
import webbrowser
from pathlib import Path
from xml.sax.saxutils import escape

from asllib.errors import InputError
from asllib.lazy import extra
from asllib.live.session import models
from asllib.read import load_network
from asllib.read.video import iter_frames

with extra("live"):
    import nbformat
    from jupyter_core.paths import jupyter_config_path
    from tornado.ioloop import IOLoop
    from voila.app import Voila

CELL = """\
import os
os.chdir({folder!r})
from asllib.live import LiveReader
LiveReader({source!r}, model={model!r})"""


class Page(Voila):
    """Voila, with a page that opens without showing its token to other users."""

    def link(self) -> str:
        """The page's address with its token."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    def launch_browser(self):
        """Open the page through a file that only this user can read: other users see the browser's arguments."""
        try:
            browser = webbrowser.get(self.browser or None)
        except webbrowser.Error:  # no browser: the link is printed
            return
        link = escape(self.link())
        page = Path(self.notebook_path).with_name("page.html")  # in the notebook's folder, and removed with it
        page.touch(mode=0o600)
        refresh = f'<meta charset="utf-8"><meta http-equiv="refresh" content="0; url={link}">'
        page.write_text(f'<!DOCTYPE html>{refresh}<a href="{link}">asl live</a>\n', encoding="utf-8")
        arguments = page.as_uri(), self.webbrowser_open_new
        threading.Thread(target=browser.open, args=arguments, daemon=True).start()


def reader_cell(source: int | str | None = None, model: str | None = None) -> str:
    """The code of a ``LiveReader`` of this source and model; InputError if there is no such model or film."""
    load_network(model or models()[0])
    if source is not None:
        iter_frames(source)
    return CELL.format(folder=str(Path.cwd()), source=source, model=model)


def serve(code: str, port: int = 8866, browser: bool = True) -> None:
    """Serve a cell's output until interrupted, to this machine alone, with a token; InputError for a taken port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(f"port {port}: {error.strerror}; give another one with --port") from None
    logging.getLogger().setLevel(logging.ERROR)  # the server's libraries warn about things that a user cannot change
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel of this environment, not one in the user's folder
    cell = nbformat.v4.new_code_cell(code)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    settings = {"ip": "127.0.0.1", "port": port, "port_retries": 0, "open_browser": browser, "log_level": "ERROR"}
    settings["token"] = secrets.token_urlsafe(16)
    settings["kernel_websocket_connection_class"] = "asllib.live.connection.PromptConnection"
    # A page that closes ends its kernel; this ends kernels whose page was lost.
    culling = {"cull_idle_timeout": 30, "cull_interval": 10}
    with tempfile.TemporaryDirectory(prefix="asl-") as folder:
        book = Path(folder) / "asl live.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel}), book)
        app = Page(config_file_paths=jupyter_config_path())  # not from the working folder, which may be anybody's
        options = [f"--Voila.{name}={value}" for name, value in settings.items()]
        options += [f"--MappingKernelManager.{name}={value}" for name, value in culling.items()]
        app.initialize([str(book), *options])
        IOLoop.current().add_callback(print, f"{app.link()}\nThe page is there; Ctrl+C ends it.", flush=True)  # once up
        app.start()
