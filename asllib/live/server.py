"""The live cell as a page of its own, through Voila on this machine's loopback address."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from pathlib import Path

import nbformat
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.ioloop import IOLoop
from voila.app import Voila

from asllib.errors import InputError

CELL = """\
import os
os.chdir({folder!r})
from asllib.live import LiveReader
LiveReader({source!r}, model={model!r})"""


class PromptConnection(ZMQChannelsWebsocketConnection):
    """Send small answers at once: the server would hold each back some 30 ms to fill a packet (Nagle's algorithm)."""

    def connect(self):
        """Connect to the kernel."""
        self.websocket_handler.set_nodelay(True)
        return super().connect()


def serve(source: int | str | None = None, model: str | None = None, port: int = 8866, browser: bool = True) -> None:
    """Serve the live cell until it is interrupted; only this machine is listened to, and only with the token.

    Parameters
    ----------
    source
        None for the browser's camera; the number of this machine's camera, or a film.
    model
        See ``LiveReader``.
    port
        Of the loopback address.
    browser
        Open the page in a browser.

    Raises
    ------
    InputError
        If there is no such model or film, or the port is taken.
    """
    from asllib.live.session import models
    from asllib.models.zoo import load_model
    from asllib.video import iter_frames

    load_model(model or models()[0])
    if source is not None:
        iter_frames(source)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(f"port {port}: {error.strerror}; give another one with --port") from None
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel of this environment, not one in the user's folder
    cell = nbformat.v4.new_code_cell(CELL.format(folder=str(Path.cwd()), source=source, model=model))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})
    token = secrets.token_urlsafe(16)
    with tempfile.TemporaryDirectory(prefix="asl-") as folder:
        nbformat.write(book, Path(folder) / "asl live.ipynb")
        app = Voila()
        app.initialize(
            [
                str(Path(folder) / "asl live.ipynb"),
                "--Voila.ip=127.0.0.1",
                f"--Voila.port={port}",
                "--Voila.port_retries=0",
                f"--Voila.token={token}",
                f"--Voila.open_browser={browser}",
                "--Voila.log_level=ERROR",
                f"--Voila.kernel_websocket_connection_class={__name__}.{PromptConnection.__name__}",
            ]
        )
        here = f"http://127.0.0.1:{port}/?token={token}\nThe live page is there; Ctrl+C ends it."
        IOLoop.current().add_callback(print, here, flush=True)  # once it listens
        app.start()
