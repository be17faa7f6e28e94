"""The widget's thread and its end, without a browser: messages go in as the kernel hands them over."""

from __future__ import annotations

import gc
import queue
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest
import torch

from asllib.data import load_photos
from asllib.live.session import Session
from asllib.live.widget import CameraWidget, LiveReader, SignRecorder


class Echo(Session):
    """Answers with what it was asked, or fails, or takes its time."""

    closed = 0

    def __init__(self, slow=0.0):
        super().__init__()
        self.slow, self.warmed = slow, None

    def warm(self):
        time.sleep(self.slow)
        self.warmed = time.monotonic()

    def _answer(self, message, buffers):
        if message.get("fail"):
            raise RuntimeError("broken on purpose")
        time.sleep(message.get("sleep", 0))
        thread, torchs = threading.current_thread().name, torch.get_num_threads()
        return {"type": "echo", "buffers": len(buffers), "thread": thread, "torchs": torchs}, []

    def close(self):
        self.closed += 1


@pytest.fixture
def widget():
    opened = CameraWidget(Echo())
    yield opened
    opened.close()


@pytest.fixture
def sent(monkeypatch):
    """Queue of what any widget sends."""
    messages: queue.Queue = queue.Queue()
    monkeypatch.setattr(CameraWidget, "send", lambda self, content, buffers=None: messages.put(content))
    return messages


def give(widget, content, buffers=()):
    widget._handle_custom_msg(content, list(buffers))


def test_there_is_one_answer_to_every_frame(widget, sent):
    for i in range(20):
        give(widget, {"type": "frame", "view": "v", "id": i, "fail": i % 5 == 0}, [b"x"])
    answers = [sent.get(timeout=5) for _ in range(20)]
    assert [answer["id"] for answer in answers] == list(range(20))
    assert all(answer["view"] == "v" for answer in answers)
    assert sent.empty()


def test_a_failing_session_is_told_and_goes_on(widget, sent):
    give(widget, {"type": "frame", "id": 1, "fail": True})
    assert sent.get(timeout=5) == {"type": "error", "message": "RuntimeError: broken on purpose", "id": 1}
    give(widget, {"type": "frame", "id": 2})
    assert sent.get(timeout=5)["type"] == "echo"


def test_nothing_is_answered_before_the_first_slow_frame_is_over(sent):
    widget = CameraWidget(Echo(slow=0.5))
    session = widget._session
    give(widget, {"type": "hello", "id": "hello 1"})
    with pytest.raises(queue.Empty):
        sent.get(timeout=0.2)
    assert sent.get(timeout=5)["id"] == "hello 1" and session.warmed is not None
    widget.close()


def test_a_warm_up_that_fails_ends_nothing(sent, monkeypatch):
    monkeypatch.setattr(Echo, "warm", lambda self: 1 / 0)
    widget = CameraWidget(Echo())
    give(widget, {"type": "frame", "id": 1})
    assert sent.get(timeout=5)["type"] == "echo"
    widget.close()


def test_one_thread_does_all_the_work(widget, sent):
    def give_one(i):
        give(widget, {"type": "frame", "id": i})

    for i in range(3):
        caller = threading.Thread(target=give_one, args=(i,))
        caller.start()
        caller.join()
        assert sent.get(timeout=5)["thread"] == "asllib-live"


def test_the_networks_take_one_thread_and_leave_the_others_to_the_cells(sent):
    torch.set_num_threads(2)
    try:
        widget = CameraWidget(Echo())
        give(widget, {"type": "frame", "id": 1})
        assert sent.get(timeout=5)["torchs"] == 1 and torch.get_num_threads() == 2
        widget.close()
    finally:
        torch.set_num_threads(1)


def test_frames_that_waited_too_long_are_passed_over(widget, sent):
    give(widget, {"type": "frame", "id": 0, "sleep": 0.5})
    while widget._messages.qsize():  # until it is being worked on
        time.sleep(0.01)
    for i in range(1, 6):
        give(widget, {"type": "frame", "id": i})
    answers = [sent.get(timeout=5) for _ in range(6)]
    assert [answer["type"] for answer in answers] == ["echo", "late", "late", "echo", "echo", "echo"]


def test_a_second_cell_takes_over_from_the_first(sent):
    first = CameraWidget(Echo())
    session, worker = first._session, first._worker
    second = CameraWidget(Echo())
    assert sent.get(timeout=5) == {
        "type": "closed",
        "message": "Another live cell took over; run this cell again to use it.",
    }
    assert session.closed and not worker.is_alive()
    give(first, {"type": "frame", "id": 1, "view": "v"})
    answer = sent.get(timeout=5)
    assert answer["type"] == "closed" and answer["view"] == "v"
    give(second, {"type": "frame", "id": 1})
    assert sent.get(timeout=5)["type"] == "echo"
    second.close()


def test_a_recorder_that_is_run_again_knows_the_photos_of_the_one_before(sent, monkeypatch, tmp_path):
    """A frame is on its way when the cell is run again, and is kept by the first recorder."""
    first = SignRecorder(tmp_path / "mine", ["A"], 9)
    session = first._session

    def answer(content, buffers):
        time.sleep(0.5)
        session._save(np.full((48, 64, 3), 128, np.uint8))
        return {"type": "reading"}, []

    monkeypatch.setattr(session, "answer", answer)
    give(first, {"type": "frame", "id": 1})
    second = SignRecorder(tmp_path / "mine", ["A"], 9)
    assert session.kept == second._session.kept == {"A": 1}
    second._session._save(np.full((48, 64, 3), 128, np.uint8))
    second.close()
    assert load_photos(tmp_path / "mine").table["file"].tolist() == ["A/me-0001.jpg", "A/me-0002.jpg"]


def test_the_recorder_and_the_reader_take_the_camera_that_is_named(sent, tmp_path):
    for make in (lambda: SignRecorder(tmp_path / "mine", ["A"], source=3), lambda: LiveReader(3, "landmark")):
        widget = make()
        assert widget.remote and widget._session.source == 3
        widget.close()


def workers() -> int:
    return sum(thread.name == "asllib-live" for thread in threading.enumerate())


@pytest.mark.slow
def test_twenty_runs_of_the_cell_leave_one_session(sent):
    sessions = []
    for _ in range(20):
        widget = CameraWidget(Echo())
        sessions.append(weakref.ref(widget._session))
    assert workers() == 1
    widget.close()
    del widget
    gc.collect()
    assert workers() == 0
    assert [ref() for ref in sessions[:-1]] == [None] * 19


def test_a_quiet_widget_lets_the_camera_go(widget, monkeypatch):
    monkeypatch.setattr("asllib.live.widget.IDLE", 0.05)
    give(widget, {"type": "hello"})
    deadline = time.monotonic() + 5
    while not widget._session.closed and time.monotonic() < deadline:
        time.sleep(0.02)
    assert widget._session.closed


def test_answers_that_cannot_be_sent_and_a_camera_that_does_not_close_end_nothing(widget, sent, monkeypatch):
    def send(self, content, buffers=None):
        if content.get("id") == 1:
            raise RuntimeError("no websocket")
        sent.put(content)

    released = threading.Event()

    def close():
        released.set()
        raise OSError("the camera is stuck")

    monkeypatch.setattr(CameraWidget, "send", send)
    monkeypatch.setattr("asllib.live.widget.IDLE", 0.05)
    monkeypatch.setattr(widget._session, "close", close)
    give(widget, {"type": "frame", "id": 1})
    assert released.wait(5)
    give(widget, {"type": "frame", "id": 2})
    assert sent.get(timeout=5)["id"] == 2


def test_a_worker_that_ends_by_an_error_lets_the_session_go(sent, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    widget = CameraWidget(Echo())
    session = widget._session
    monkeypatch.setattr(session, "answer", lambda *_: sys.exit())
    give(widget, {"type": "frame", "id": 1})
    widget._worker.join(timeout=5)
    assert session.closed and not widget._worker.is_alive()
    give(widget, {"type": "frame", "id": 2})
    assert sent.get(timeout=5) == {"type": "closed", "message": "Closed; run this cell again.", "view": None}


def test_the_text_outlives_the_session():
    live = LiveReader()
    assert live.text == ""
    live._session._reader.text = "HELLO"
    live.close()
    live.close()
    assert live.text == "HELLO" and live._session is None


def test_frames_on_their_way_when_the_cell_is_closed_still_count(sent, monkeypatch):
    live = LiveReader()

    def answer(content, buffers):
        time.sleep(0.3)
        live_session._reader.text += "O"
        return {"type": "reading"}, []

    live_session = live._session
    monkeypatch.setattr(live_session, "answer", answer)
    give(live, {"type": "frame", "id": 1})
    live.close()
    assert live.text == "O"


@pytest.mark.slow
def test_an_open_cell_ends_with_python_and_says_nothing(tmp_path, film, jpeg):
    (tmp_path / "frame.jpg").write_bytes(jpeg(film[20]))
    program = """
import time
from pathlib import Path
from asllib.live import LiveReader
live = LiveReader(model="landmark")
answers = []
live.send = lambda content, buffers=None: answers.append(content)
live._handle_custom_msg({"type": "start", "view": "v"}, [])
live._handle_custom_msg({"type": "frame", "view": "v", "id": 1}, [Path("frame.jpg").read_bytes()])
while len(answers) < 2:
    time.sleep(0.01)
print(answers[1]["type"], answers[1]["hand"] is not None)
"""
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0 and run.stdout == "reading True\n"
    assert run.stderr == ""
