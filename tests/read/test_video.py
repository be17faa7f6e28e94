import itertools
import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from asllib.errors import InputError
from asllib.read import read_text
from asllib.read.video import count_frames, frame_rate, iter_frames
from asllib.signer import write_video


@pytest.fixture
def film():
    """Twelve frames of 64x48, each brighter than the one before."""
    return np.stack([np.full((48, 64, 3), 20 * i, np.uint8) for i in range(12)])


def test_mp4_keeps_its_own_times(tmp_path, film):
    path = write_video(tmp_path / "film.mp4", film, fps=10)
    frames = list(iter_frames(path))
    assert [time for time, _ in frames] == pytest.approx(np.arange(12) / 10, abs=1e-3)
    assert frames[5][1].shape == (48, 64, 3) and abs(int(frames[5][1].mean()) - 100) < 8
    assert count_frames(path) == 12 and frame_rate(path) == pytest.approx(10)


def test_concatenated_jpegs_have_thirty_frames_a_second_unless_said_otherwise(tmp_path, film):
    path = write_video(tmp_path / "film.mjpeg", film)
    assert [time for time, _ in iter_frames(path)] == pytest.approx(np.arange(12) / 30)
    assert [time for time, _ in iter_frames(path, fps=15)] == pytest.approx(np.arange(12) / 15)
    assert count_frames(path) is None and frame_rate(path) == 30


def test_frames_are_rgb(tmp_path):
    red = np.zeros((8, 48, 64, 3), np.uint8)
    red[..., 0] = 200
    _, frame = next(iter_frames(write_video(tmp_path / "red.mp4", red)))
    assert frame[..., 0].mean() > 150 and frame[..., 2].mean() < 60


def test_a_camera_that_is_unplugged_ends_and_one_without_a_frame_is_told(camera):
    assert len(list(iter_frames(0))) == 3
    found = read_text(0)
    assert found.text == "" and found.seconds > 0
    camera.frames = 0
    with pytest.raises(InputError, match="camera 0 gives no frames") as caught:
        list(iter_frames(0))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("step", [0.0, 1e-4, 0.01])
def test_the_times_of_a_camera_increase_whatever_the_clock_does(camera, monkeypatch, step):
    camera.frames = 50
    clock = itertools.count()
    monkeypatch.setattr("time.perf_counter", lambda: 7 + step * next(clock))
    monkeypatch.setattr("time.monotonic", lambda: 7.0)
    times = [moment for moment, _ in iter_frames(0)]
    assert np.diff(times) == pytest.approx(max(step, 1e-3)) and times[0] == pytest.approx(step)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_with_a_colon_is_no_protocol(tmp_path, film, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video("12-30.mp4", film)
    Path("12-30.mp4").rename("12:30.mp4")
    assert len(list(iter_frames("12:30.mp4"))) == count_frames("12:30.mp4") == 12 and frame_rate("12:30.mp4") == 30


@pytest.fixture
def stopped():
    """Press Ctrl+C at the second frame; return the times of the frames so far."""

    def stop(moment, frame, reading):
        stop.seen.append(moment)
        if len(stop.seen) == 2:
            raise KeyboardInterrupt

    stop.seen = []
    return stop


def test_what_a_camera_showed_before_ctrl_c_is_kept(camera, stopped):
    assert read_text(0, on_frame=stopped).seconds == stopped.seen[1]


def test_a_film_that_is_stopped_is_not_read_to_its_end(tmp_path, film, stopped):
    with pytest.raises(KeyboardInterrupt):
        read_text(write_video(tmp_path / "film.mp4", film), on_frame=stopped)


@pytest.mark.parametrize("fps", [0, -3, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(tmp_path, film, fps):
    path = write_video(tmp_path / "film.mp4", film)
    with pytest.raises(InputError, match="fps="):
        iter_frames(path, fps=fps)


def test_a_file_that_says_no_rate_is_refused_in_one_line(tmp_path, film, monkeypatch):
    path = write_video(tmp_path / "film.mp4", film)
    real = cv2.VideoCapture

    class Capture:
        def __init__(self, *arguments):
            self._real = real(*arguments)

        def get(self, what):
            return 0.0 if what == cv2.CAP_PROP_FPS else self._real.get(what)

        def __getattr__(self, name):
            return getattr(self._real, name)

    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    with pytest.raises(InputError, match=r"0 frames a second; .*--fps") as caught:
        next(iter_frames(path))
    assert "\n" not in str(caught.value)
    assert len(list(iter_frames(path, fps=20))) == 12


def test_what_is_no_video_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such video"):
        iter_frames(tmp_path / "none.mp4")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(InputError, match="not a video"):
        iter_frames(tmp_path / "empty.mp4")
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(InputError, match=r"not a video|no frame"):
        next(iter_frames(tmp_path / "text.mp4"))


def test_a_film_of_a_phone_that_was_held_upright_is_turned_as_it_says(tmp_path):
    frames = np.zeros((6, 64, 96, 3), np.uint8)
    frames[:, :20, :, 0] = 250  # the upper edge, red
    path = write_video(tmp_path / "turned.mp4", frames, 10)
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44  # of the track: a quarter clockwise, moved back into view
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 64 << 16, 0, 1 << 30)
    path.write_bytes(data)
    _, frame = next(iter(iter_frames(path)))
    assert frame.shape == (96, 64, 3)
    assert frame[:, -10:, 0].mean() > 200 > 100 > frame[:, :30, 0].mean()
