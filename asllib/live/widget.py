"""The widgets: a session behind an anywidget, with its own thread."""

import atexit
import base64
import contextlib
import contextvars
import queue
import re
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from asllib.lazy import extra
from asllib.live.recording import RecordingSession
from asllib.live.session import ReadingSession, Session, Source

with extra("live"):
    import anywidget
    import traitlets

STATIC = Path(__file__).parent / "static"
LATE = 2  # most waiting messages: the browser sends no more frames, but a busy kernel may also find old ones
IDLE = 5.0  # seconds without a message after which this machine's camera is released
CLOSED = "Closed; run this cell again."
TAKEN = "Another live cell took over; run this cell again to use it."

_open: weakref.WeakSet["CameraWidget"] = weakref.WeakSet()


def _bundle(name: str) -> str:
    """Join the camera's and the widget's modules and the alphabet's picture: a notebook loads a single module."""
    own = re.sub(r'^import [^;]* from "\./camera\.js";\n', "", (STATIC / name).read_text(encoding="utf-8"), flags=re.M)
    alphabet = base64.b64encode((STATIC / "alphabet.webp").read_bytes()).decode()
    head = f'const ALPHABET = "data:image/webp;base64,{alphabet}";\n'
    return head + (STATIC / "camera.js").read_text(encoding="utf-8") + own


def _stop_all(why: str) -> None:
    for widget in list(_open):
        widget.stop(why)


class CameraWidget(anywidget.AnyWidget):
    """A session shown in a notebook.

    The kernel gives each message of the browser to some thread, which queues it for one worker. Only the worker uses
    the session and sends answers, so threads share nothing and a busy notebook does not stop the picture.
    """

    _css = STATIC / "live.css"
    remote = traitlets.Bool(False).tag(sync=True)  # the camera belongs to this machine

    def __init__(self, session: Session) -> None:
        _stop_all(TAKEN)
        super().__init__(remote=session.source is not None)
        self._session: Session | None = session
        self._end = CLOSED
        self._messages: queue.Queue[tuple[contextvars.Context, Any, list] | None] = queue.Queue()
        # ipykernel sends a widget's messages to the thread that last wrote to it, not to the thread that ran this cell.
        self.comm.__dict__.pop("_reply_subshell_id", None)
        self.on_msg(CameraWidget._take)
        torch.get_num_threads()  # fixes this thread's number: else PyTorch would use the worker's
        self._worker = threading.Thread(target=self._work, args=(session,), name="asllib-live", daemon=True)
        self._worker.start()
        _open.add(self)
        atexit.register(_stop_all, CLOSED)

    def stop(self, why: str = CLOSED) -> None:
        """End the session, release camera, tracker and thread, and say why in the cell. It may be called twice."""
        if self._session is None:
            return
        self._end = why
        self._messages.put(None)
        self._worker.join(timeout=5)
        self.send({"type": "closed", "message": why})

    def close(self) -> None:
        """End the session and take the widget off the page."""
        self.stop()
        super().close()

    def _take(self, content: Any, buffers: list) -> None:
        """Queue a message with the context of its thread, so that the answer goes back the same way."""
        if self._session is None:
            self.send({"type": "closed", "message": self._end, "view": content.get("view")})
        else:
            self._messages.put((contextvars.copy_context(), content, buffers))

    def _work(self, session: Session) -> None:
        torch.set_num_threads(1)  # the networks are so small that more threads are slower
        with contextlib.suppress(Exception):  # the first frame reports errors
            session.warm()  # while the page loads; a `hello` in between is answered afterwards
        try:
            while True:
                try:
                    item = self._messages.get(timeout=IDLE)
                except queue.Empty:
                    with contextlib.suppress(Exception):
                        session.close()
                    continue
                if item is None:
                    break
                context, content, buffers = item
                images: list[bytes] = []
                if self._messages.qsize() > LATE and content.get("type") == "frame":
                    reply = {"type": "late", "view": content.get("view"), "id": content.get("id")}
                else:
                    reply, images = session.answer(content, buffers)
                with contextlib.suppress(Exception):  # a lost answer expires in the page
                    context.run(self.send, reply, images)
        finally:
            self._text, self._session = getattr(session, "text", ""), None  # the recorder has none
            session.close()


class LiveReader(CameraWidget):
    """The live cell: show letters to a camera, read text.

    ``source`` is None for the browser's camera, or the number of a camera or a film on the kernel's machine. ``model``
    is one of ``models()``, by default the first, or a run folder. InputError if there is no such model or film.
    """

    _esm = _bundle("reader.js")
    _session: ReadingSession | None

    def __init__(self, source: Source = None, model: str | Path | None = None) -> None:
        super().__init__(ReadingSession(source, model))

    @property
    def text(self) -> str:
        """The text so far, also of a session that has ended."""
        session = self._session  # the worker may remove it at any time
        return self._text if session is None else session.text


class SignRecorder(CameraWidget):
    """The recorder: asks for one sign after the other, and writes a data folder for ``add_signs``.

    It has the arguments of ``asllib.live.recording.RecordingSession``, and shows why it drops frames.
    """

    _esm = _bundle("recorder.js")

    def __init__(
        self, folder: str | Path, signs: Sequence[str], per_sign: int = 10, signer: str = "me", source: Source = None
    ) -> None:
        _stop_all(TAKEN)  # another recorder may write into this folder, which is read now
        super().__init__(RecordingSession(folder, signs, per_sign, signer, source))
