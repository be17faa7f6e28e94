"""``asl read`` from the command line."""

import json
import os

import numpy as np
import pytest

from asllib.hands.landmarks import landmark_columns, write_landmarks
from asllib.read.reader import FrameReading
from asllib.read.subtitles import annotated_video
from asllib.read.video import count_frames, frame_rate, iter_frames
from asllib.signer import write_video


@pytest.fixture
def grey(tmp_path):
    """A film of a grey wall."""
    return write_video(tmp_path / "grey.mp4", np.full((9, 48, 64, 3), 128, np.uint8), fps=15)


def test_a_film_without_a_hand_is_empty_text_and_says_so(asl, grey, tmp_path):
    code, out, _ = asl("read", grey)
    assert code == 0 and "no hand was found" in out
    code, out, err = asl("read", grey, "--json", "-", "--srt", tmp_path / "f.srt", "--annotated", tmp_path / "f.mp4")
    assert code == 0 and json.loads(out) == {"text": "", "letters": []} and "no hand was found" in err
    assert (tmp_path / "f.srt").read_text() == "" and (tmp_path / "f.mp4").stat().st_size > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.mp4", "f.srt", "grey.mp4"]


def element(name: str, *parts: bytes) -> bytes:
    """An EBML element, which Matroska and WebM are made of."""
    content = b"".join(parts)
    return bytes.fromhex(name) + (len(content) | 1 << 56).to_bytes(8, "big") + content


def jpeg(picture: np.ndarray) -> bytes:
    import cv2

    return cv2.imencode(".jpg", picture)[1].tobytes()


def matroska(path, times, frames, codec=b"V_MJPEG", *more):
    """Write frames, as bytes, into a film of 64 pixels' width, each with its time in ms."""
    blocks = [
        element("a3", b"\x81", time.to_bytes(2, "big"), b"\x80", frame)
        for time, frame in zip(times, frames, strict=True)
    ]
    sides = element("e0", element("b0", b"\x40"), element("ba", b"\x30"))
    track = element("ae", element("d7", b"\x01"), element("73c5", b"\x01"), element("83", b"\x01"),
                    element("86", codec), *more, sides)  # fmt: skip
    segment = element("18538067", element("1549a966", element("2ad7b1", (10**6).to_bytes(3, "big"))),
                      element("1654ae6b", track), element("1f43b675", element("e7", b"\x00"), *blocks))  # fmt: skip
    path.write_bytes(element("1a45dfa3", element("4282", b"webm")) + segment)
    return path


@pytest.fixture
def recorded(tmp_path):
    """A film as a browser records it: no rate, each frame with its time in ms; 7.5 to 60 a second, grey from 0 on."""
    times = np.cumsum([0, *[33] * 20, *[133] * 6, *[17] * 30, *[33] * 10]).tolist()
    frames = [jpeg(np.full((48, 64, 3), 3 * i, np.uint8)) for i in range(len(times))]
    return matroska(tmp_path / "recorded.webm", times, frames), times


def test_an_annotated_film_lasts_as_long_as_its_source(asl, recorded, tmp_path):
    path, times = recorded
    assert frame_rate(path) > 60 and [round(1000 * moment) for moment, _ in iter_frames(path)] == times
    code, _, err = asl("read", path, "--annotated", tmp_path / "read.mp4")
    assert code == 0, err
    assert frame_rate(tmp_path / "read.mp4") == 30 and count_frames(tmp_path / "read.mp4") == 1 + round(
        times[-1] * 0.03
    )
    for moment, frame in iter_frames(tmp_path / "read.mp4"):
        nearest = np.interp(1000 * moment, times, 3.0 * np.arange(len(times)))
        assert abs(frame[:36].mean() - nearest) < 8, moment


def test_frames_at_times_between_two_are_each_written_once(tmp_path, one_hand):
    reading = FrameReading(one_hand, None, 0.0, np.zeros(26, np.float32), (), "")
    with annotated_video(tmp_path / "film.mp4", 32.0) as write:
        for number in range(40):
            write((number + 0.5) / 32, np.full((48, 64, 3), 6 * number, np.uint8), reading)
    brightness = [frame[:10].mean() for _, frame in iter_frames(tmp_path / "film.mp4")]
    assert len(brightness) == 41 and (np.diff(brightness[2:]) > 1).all()


def said(err: str) -> list[str]:
    """The lines on standard error but for the bar."""
    return [line for line in err.replace("\r", "\n").splitlines() if line.strip() and not line.startswith("Reading:")]


def test_an_interlaced_film_is_refused_after_one_that_was_read(asl, grey, tmp_path):
    """OpenCV would give black frames, or those of the film before, and say nothing."""
    picture = bytes.fromhex(  # a key frame of MPEG-2
        "000001b304003023ffffe000000001b5148200010000000001b80008004000000100000ffff8000001b58ffff30000000001"
        "01137c3e94a445a529488b4a52911694a5222000000102137c3e94a445a529488b4a52911694a5222000000103137c3e94a4"
        "45a529488b4a52911694a5222000000104137c3e94a445a529488b4a52911694a52220"
    )
    film = matroska(tmp_path / "camcorder.mkv", [0, 40, 80], [picture] * 3, b"V_MPEG2")
    assert len(list(iter_frames(grey))) == 9
    code, out, err = asl("read", film)
    assert (code, out) == (1, "") and len(said(err)) == 1
    assert "camcorder.mkv: an interlaced film" in err and "-vf bwdif" in err


def test_a_codec_that_cannot_be_decoded_is_named_with_the_cure(asl, tmp_path):
    private = element("63a2", bytes.fromhex("81000c000a0a00000002afff805f0008"))
    picture = bytes.fromhex("0a0a00000002afff895f2008320e1000b08205142081000003250cb8")
    film = matroska(tmp_path / "new.webm", [0], [picture], b"V_AV1", private)
    code, out, err = asl("read", film)
    assert (code, out) == (1, "") and len(said(err)) == 1
    assert "new.webm: no frame of its AV1 video can be read" in err and "-c:v libx264" in err


def test_sound_alone_is_one_line(asl, tmp_path):
    import wave

    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    code, out, err = asl("read", tmp_path / "sound.wav")
    assert (code, out) == (1, "") and "sound alone" in err and err.count("\n") == 1


def test_a_film_that_breaks_off_is_read_so_far_and_says_where(asl, tmp_path):
    import cv2

    whole = tmp_path / "whole.avi"
    writer = cv2.VideoWriter(str(whole), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for i in range(40):
        writer.write(np.full((48, 64, 3), 6 * i, np.uint8))
    writer.release()
    code, out, err = asl("read", whole)
    assert code == 0 and "no hand was found" in out and said(err) == []
    data = whole.read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    code, out, err = asl("read", tmp_path / "cut.avi")
    last = list(iter_frames(tmp_path / "cut.avi"))[-1][0]
    assert code == 0 and "no hand was found" in out and 0 < last < 3
    assert f"cut.avi: the film breaks off at {last:.1f} s of 4.0 s" in said(err)[0] and len(said(err)) == 1


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("film.gif", b"GIF89a" + bytes(20), "a GIF"),
        ("hands.json", b'[{"timestamp": 0.0, "landmarks": []}]', "not a video that can be read"),
    ],
)
def test_what_is_not_read_as_a_film_is_called_by_its_name(asl, tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    code, out, err = asl("read", tmp_path / name)
    assert (code, out) == (1, "") and err.count("\n") == 1 and f"{name}: {words}" in err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_with_a_colon_are_no_protocols(asl, grey, monkeypatch):
    monkeypatch.chdir(grey.parent)
    grey.rename("12:30.mp4")
    code, _, err = asl("read", "12:30.mp4", "--annotated", "12:31.mp4")
    assert code == 0 and count_frames("12:31.mp4") == 9, err


@pytest.mark.parametrize(
    "options, said",
    [
        (["--fps", "0"], "fps=0"),
        (["--srt", "film.txt"], "ends in .srt"),
        (["--annotated", "film.avi"], "ends in .mp4"),
        (["--model", "spelling-of-mine"], "neither a shipped model"),
    ],
)
def test_bad_options_are_one_line(asl, grey, options, said):
    code, out, err = asl("read", grey, *options)
    assert (code, out) == (1, "") and said in err and err.startswith("asl: ") and err.count("\n") == 1


def test_the_film_that_is_read_is_not_written_over(asl, grey, monkeypatch):
    before = grey.read_bytes()
    monkeypatch.chdir(grey.parent)
    code, out, err = asl("read", grey, "--annotated", grey.name)
    assert (code, out) == (1, "") and "the film itself" in err and err.count("\n") == 1
    assert grey.read_bytes() == before


def test_what_is_not_there_is_one_line(asl, tmp_path):
    code, _, err = asl("read", tmp_path / "none.mp4")
    assert code == 1 and "no such video" in err and err.count("\n") == 1


def test_a_folder_and_an_address_are_one_line(asl, tmp_path):
    for name, said in ((tmp_path, "a folder; name a video in it"), ("https://a.b/c.mp4", "an address of the web")):
        for more in ((), ("--model", "landmark")):
            code, out, err = asl("read", name, *more)
            assert (code, out, err.count("\n")) == (1, "", 1) and said in err


def test_landmarks_of_no_hand(asl, tmp_path):
    import pandas as pd

    rows = [[f"{i}.jpg", None, None, 0.0, *[np.nan] * 126] for i in range(5)]
    write_landmarks(pd.DataFrame(rows, columns=landmark_columns()), tmp_path / "hands.csv")
    code, _, err = asl("read", tmp_path / "hands.csv")
    assert code == 1 and "--fps" in err and err.count("\n") == 1
    code, out, err = asl("read", tmp_path / "hands.csv", "--fps", "15")
    assert code == 0 and "no hand was found" in out
    assert [
        line
        for line in said(err)
        if "hands.csv: it says no width and height of the frames, which are taken as square" in line
    ]
    code, out, _ = asl("read", tmp_path / "hands.csv", "--fps", "15", "--model", "default")
    assert code == 0 and "no hand was found" in out
    code, _, err = asl("read", tmp_path / "hands.csv", "--fps", "15", "--model", "pixel")
    assert code == 1 and "have no picture" in err and err.count("\n") == 1


@pytest.mark.slow
def test_several_videos_are_read_one_after_the_other_and_a_bad_one_costs_a_line(asl, grey, tmp_path):
    from asllib.signer import render_word

    word = write_video(tmp_path / "hi.mp4", render_word("HI", fps=15, size=(240, 180)).frames, fps=15)
    code, out, err = asl("read", word, "--json", "-")
    one = json.loads(out)
    assert code == 0 and list(one) == ["text", "letters"] and one["letters"], err
    code, out, err = asl("read", word, tmp_path / "none.mp4", grey, "--json", "-")
    assert code == 1 and "none.mp4: no such video" in err
    first, second, third = json.loads(out)
    assert first == {"video": str(word), **one} and third == {"video": str(grey), "text": "", "letters": []}
    assert second["video"].endswith("none.mp4") and "no such video" in second["error"]
    code, out, err = asl("read", grey, tmp_path / "none.mp4", word)
    assert code == 1 and out.splitlines() == [f"{grey}: no hand was found", f"{word}: {one['text']}"]
    assert [line for line in said(err) if line.startswith("asl: ") and "none.mp4: no such video" in line]


def test_subtitles_and_an_annotated_film_are_for_one_video(asl, grey, tmp_path):
    for option in (("--srt", tmp_path / "a.srt"), ("--annotated", tmp_path / "a.mp4")):
        code, out, err = asl("read", grey, grey, *option)
        assert (code, out) == (1, "") and "one video" in err and err.count("\n") == 1


@pytest.mark.slow
def test_a_run_folder_of_a_spelling_network_reads_one_video_and_several(asl, grey, swapped, no_data):
    for videos in ([grey], [grey, grey]):
        code, out, err = asl("read", *videos, "--model", swapped)
        assert code == 0 and out.count("no hand was found") == len(videos), err


def test_the_spelling_network_has_one_preset(asl, tmp_path):
    code, _, err = asl("train", "spelling", "--out", tmp_path / "run", "--preset", "paper")
    assert code == 1 and "no preset 'paper'" in err and not (tmp_path / "run").exists()


def test_the_spelling_network_reads_no_photos(asl, tmp_path):
    code, _, err = asl("predict", tmp_path / "a.jpg", "--model", "spelling")
    assert code == 1 and "reads videos, not photos" in err
