"""What the kernel answers to the browser's messages, without either."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from asllib.errors import InputError
from asllib.hands.look import Hand
from asllib.live.session import ReadingSession, Session, _paced, decode, encode, models, palm_length, trouble
from asllib.read import SpellerSettings, load_network, read_text
from asllib.read.reader import FrameReading

GREY = np.full((48, 64, 3), 128, np.uint8)


@pytest.fixture
def session():
    opened = ReadingSession(model="landmark")
    yield opened
    opened.close()


def ask(session, kind, buffers=(), view="v", **more):
    reply, images = session.answer({"type": kind, "view": view, **more}, buffers)
    json.dumps(reply)  # it goes through JSON
    return reply, images


def frames_of(session, frames, jpeg, fps=15, view="v", start=0.0):
    return [ask(session, "frame", [jpeg(frame)], view, id=i, time=start + i / fps)[0] for i, frame in enumerate(frames)]


def test_a_view_is_told_what_there_is(session):
    reply, images = ask(session, "hello")
    assert reply["type"] == "state" and reply["view"] == "v" and reply["text"] == "" and images == []
    settings = SpellerSettings()
    times = {"confidence": settings.confidence, "hold_s": settings.hold_s}
    assert reply["settings"] == {"model": "landmark", **times}
    assert ["landmark", "landmark"] in reply["models"]


@pytest.mark.slow
def test_frames_become_text(session, film, jpeg):
    ask(session, "start", time=7.0)
    replies = frames_of(session, film, jpeg, start=7.0)
    assert [reply["id"] for reply in replies] == list(range(len(film)))
    assert {reply["type"] for reply in replies} == {"reading"}
    seen = [reply for reply in replies if reply["hand"]]
    assert len(seen) > 0.8 * len(film)
    assert all(len(reply["hand"]) == 21 and 0 <= reply["confidence"] <= 1 for reply in seen)
    assert "L" in replies[-1]["text"] and "B" in replies[-1]["text"]
    assert session.text == replies[-1]["text"]


@pytest.mark.slow
def test_it_reads_as_the_video_reader_does(session, film, jpeg):
    from asllib.read import read_text
    from asllib.read.recognizer import load_recognizer

    decoded = [(i / 15, decode([jpeg(frame)])) for i, frame in enumerate(film)]
    ask(session, "start", time=0.0)
    assert frames_of(session, film, jpeg)[-1]["text"] == read_text(decoded, load_recognizer("landmark")).text


def test_warming_up_leaves_no_trace_and_makes_the_first_letter_quick(monkeypatch):
    live = ReadingSession(model="spelling")
    live._reader.text = "HEL"
    live.warm()
    assert live.text == "HEL" and live._reader.evidence() is None
    called = []
    monkeypatch.setattr("asllib.read.lexicon._frequencies", lambda size: called.append(size))
    assert "HELP" in live._words() and not called  # the words are there
    before = live._reader
    ask(live, "stop", view=None)
    assert live._reader is not before and live.text == "HEL"
    live.close()


@pytest.mark.parametrize("kinds", [["stop", "start"], ["start"]])
@pytest.mark.slow
def test_who_stops_or_starts_again_begins_a_word(session, film, jpeg, kinds):
    ask(session, "start", time=0.0)
    word = frames_of(session, film, jpeg)[-1]["text"]
    assert len(word) > 1 and " " not in word
    for kind in kinds:
        reply = ask(session, kind, time=0.0)[0]
        assert reply["text"] == (word if kind == "stop" else f"{word} ")
        assert bool(reply["words"]) == (kind == "stop")
    assert frames_of(session, film, jpeg)[-1]["text"] == f"{word} {word}"


@pytest.mark.slow
def test_the_stop_of_a_displaced_view_changes_nothing(session, film, jpeg):
    ask(session, "start", view="first", time=0.0)
    frames_of(session, film[:3], jpeg, view="first")
    ask(session, "start", view="second", time=0.0)
    frames_of(session, film[:20], jpeg, view="second")
    assert ask(session, "frame", [jpeg(film[3])], view="first", id=3, time=0.2)[0]["type"] == "taken"
    before, text = session._reader, session.text
    ask(session, "stop", view="first")
    assert session._reader is before and session.text == text
    ask(session, "stop", view="second")
    assert session._reader is not before


def test_text_is_edited(session):
    session._reader.text = "AB"
    assert ask(session, "edit", what="space")[0]["text"] == "AB "
    assert ask(session, "edit", what="delete")[0]["text"] == "AB"
    assert ask(session, "edit", what="clear")[0]["text"] == ""
    assert ask(session, "edit", what="burn")[0]["type"] == "error"


def test_a_word_that_is_suggested_can_be_chosen(session):
    session._reader.text = "SO HEL"
    words = ask(session, "hello")[0]["words"]
    assert len(words) == 3 and "HELP" in words
    assert ask(session, "edit", what="choose", word="NEVER")[0]["type"] == "error"
    reply = ask(session, "edit", what="choose", word="HELP")[0]
    assert reply["text"] == "SO HELP " and not reply["words"]


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": "dance"},
        {"type": "settings", "confidence": "much"},
        {"type": "settings", "hold_s": -1},
    ],
)
def test_every_message_is_answered(session, message):
    reply, _ = session.answer(message)
    assert reply["type"] == "error" and reply["message"]


@pytest.mark.parametrize("buffers", [[], [b""], [b"no image"], [b"\xff\xd8\xff\xe0 cut off"]])
def test_a_broken_frame_is_answered_and_the_next_is_read(session, jpeg, buffers):
    ask(session, "start", time=0.0)
    reply, _ = ask(session, "frame", buffers, id=1, time=0.1)
    assert reply["type"] == "error" and reply["id"] == 1 and "not a readable image" in reply["message"]
    assert ask(session, "frame", [jpeg(GREY)], id=2, time=0.2)[0]["type"] == "reading"


def test_red_is_red_on_the_way_in_and_out(jpeg):
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 200
    for data in (jpeg(red), encode(red)):
        assert np.abs(decode([data]).astype(int) - red).max() < 10


def test_a_huge_frame_is_refused(jpeg):
    with pytest.raises(InputError, match="2000x2000 pixels"):
        decode([jpeg(np.zeros((2000, 2000, 3), np.uint8))])


@pytest.mark.parametrize("time", [-5.0, 0.0])
def test_a_clock_that_stands_or_goes_back_does_no_harm(session, jpeg, time):
    ask(session, "start", time=100.0)
    replies = [ask(session, "frame", [jpeg(GREY)], id=i, time=time)[0] for i in range(3)]
    assert [reply["type"] for reply in replies] == ["reading"] * 3


def test_only_the_view_that_was_started_last_is_read(session, jpeg):
    ask(session, "start", view="first", time=0.0)
    ask(session, "start", view="second", time=0.0)
    assert ask(session, "frame", [jpeg(GREY)], view="first", id=1, time=1.0)[0]["type"] == "taken"
    assert ask(session, "frame", [jpeg(GREY)], view="second", id=1, time=1.0)[0]["type"] == "reading"
    ask(session, "stop", view="first")
    assert ask(session, "frame", [jpeg(GREY)], view="second", id=2, time=2.0)[0]["type"] == "reading"


@pytest.mark.slow
def test_settings_reach_the_reader_and_the_text_stays(session, film, jpeg):
    session._reader.text = "KEEP"
    ask(session, "settings", confidence=0.9, hold_s=0.4)
    assert (session._reader.settings.confidence, session._reader.settings.hold_s) == (0.9, 0.4)
    reply, _ = ask(session, "settings", model="spelling")
    assert reply["text"] == "KEEP" and reply["settings"]["model"] == "spelling"
    assert (session._reader.settings.confidence, session._reader.settings.hold_s) == (0.9, 0.4)
    ask(session, "start", time=0.0)
    assert frames_of(session, film, jpeg)[-1]["text"].startswith("KEEP ")


def test_of_settings_that_are_wrong_in_part_none_is_taken(session):
    before = ask(session, "hello")[0]["settings"], session._reader
    for wrong in ({"model": "no/such/run"}, {"hold_s": -1}, {"confidence": "much"}):
        reply, _ = ask(session, "settings", **{"confidence": 0.9, "hold_s": 0.4, "model": "pixel", **wrong})
        assert reply["type"] == "error" and "Error" not in reply["message"]
        assert reply["settings"] == before[0] and reply["models"]  # what the list goes back to
        assert (ask(session, "hello")[0]["settings"], session._reader) == before
    assert session._reader.settings == SpellerSettings()


def test_sliders_are_kept_with_another_model(session):
    ask(session, "settings", confidence=0.7)
    reply, _ = ask(session, "settings", model="spelling", hold_s=0.3)
    assert reply["settings"] == {"model": "spelling", "confidence": 0.7, "hold_s": 0.3}
    assert session._reader.settings == SpellerSettings(confidence=0.7, hold_s=0.3)


@pytest.fixture
def waving(tmp_path):
    """A run folder whose network calls L "wave"."""
    from asllib.networks.store import load_model, save_model

    model, card = load_model("landmark")
    names = ["wave" if name == "L" else name for name in card["alphabet"]]
    return save_model(tmp_path / "run", model, names, {})


@pytest.mark.slow
def test_a_sign_that_was_added_is_read_as_a_word(waving, film, jpeg):
    session = ReadingSession(model=waving)
    assert ask(session, "hello")[0]["settings"]["model"] == str(waving)
    session._reader.text = "I"
    ask(session, "start", time=0.0)
    replies = frames_of(session, film, jpeg)
    shown = [reply for reply in replies if reply["letter"] == "wave"]
    assert len(shown) > 5 and max(reply["confidence"] for reply in shown) > 0.8
    assert session.text.startswith("I") and session.text.count(" wave ") == 1 and "B" in session.text
    session.close()


@pytest.mark.slow
def test_videos_are_read_with_added_signs_too(waving, film):
    from asllib.read import read_text
    from asllib.read.recognizer import load_recognizer

    found = read_text([(i / 15, frame) for i, frame in enumerate(film)], load_recognizer(waving))
    assert "wave" in found.text.split() and [one.letter for one in found.letters].count("wave") == 1


@pytest.mark.slow
def test_a_spelling_network_of_ones_own_is_listed_and_read_with(swapped, film, jpeg, monkeypatch):
    # What the embedding says would contradict it.
    monkeypatch.setattr("asllib.read.decoder.read_embedding", lambda _: np.zeros(24, np.float32))
    monkeypatch.setattr("asllib.live.session.project_root", lambda: swapped.parent)
    (swapped.parent / "runs").mkdir()
    mine = str(swapped.rename(swapped.parent / "runs" / "mine"))
    assert mine in models()
    session = ReadingSession()
    reply, _ = ask(session, "settings", model=mine)
    assert reply["settings"]["model"] == mine and reply["settings"]["hold_s"] == SpellerSettings().hold_s
    ask(session, "start", time=0.0)
    assert frames_of(session, film, jpeg)[-1]["text"].strip().endswith("L")  # which takes B for L
    found = read_text([(i / 15, frame) for i, frame in enumerate(film)], load_network(mine))
    assert found.text.endswith("L")
    session.close()


@pytest.mark.slow
def test_the_pixel_network_can_be_chosen(session, film, jpeg):
    assert ask(session, "settings", model="pixel")[0]["settings"]["model"] == "pixel"
    ask(session, "start", time=0.0)
    assert any(reply["letter"] for reply in frames_of(session, film[10:20], jpeg))


@pytest.mark.parametrize("frames", [0, 3])
def test_a_camera_of_this_machine_that_is_unplugged_is_told(camera, frames):
    camera.frames = frames
    session = ReadingSession(0, model="landmark")
    ask(session, "start")
    replies = [ask(session, "frame", id=i)[0] for i in range(frames + 2)]
    assert [reply["type"] for reply in replies] == ["reading"] * frames + ["ended"] * 2
    assert replies[-1]["message"].startswith("camera 0 gives no") and "unplugged" in replies[-2]["message"]
    session.close()


@pytest.mark.slow
def test_a_film_of_this_machine_is_read_and_shown(film, tmp_path):
    from asllib.signer import write_video

    session = ReadingSession(write_video(tmp_path / "ab.mp4", film, fps=60))
    ask(session, "start")
    seen = []
    while True:
        reply, images = ask(session, "frame", id=len(seen))
        if reply["type"] != "reading":
            break
        seen.append(decode(images).shape)
    assert reply["type"] == "ended" and seen == [(240, 320, 3)] * len(film)
    ask(session, "start")
    assert ask(session, "frame", id=0)[0]["type"] == "reading"  # from the beginning
    session.close()


@pytest.mark.parametrize("frames", [24, 43])
@pytest.mark.slow
def test_a_film_of_this_machine_is_read_to_its_end_as_asl_read_does(film, tmp_path, frames):
    from asllib.signer import write_video

    path = write_video(tmp_path / "lb.mp4", film[:frames], fps=15)
    session = ReadingSession(path)
    ask(session, "start")
    while (reply := ask(session, "frame")[0])["type"] == "reading":
        shown = reply["text"]
    assert reply["type"] == "ended" and reply["text"] == session.text == read_text(path).text
    assert len(reply["text"]) > len(shown)  # by a letter that was still being shown
    ask(session, "start")
    assert not session.text or session.text.endswith(" ")
    session.close()


@pytest.mark.slow
def test_a_film_that_ends_within_a_frame_is_read_to_there(film, tmp_path):
    from asllib.signer import write_video

    path = write_video(tmp_path / "cut.mjpeg", film[:12])
    path.write_bytes(path.read_bytes()[:-2000])
    session = ReadingSession(path)
    ask(session, "start")
    kinds = [ask(session, "frame", id=i)[0]["type"] for i in range(13)]
    assert kinds[:11] == ["reading"] * 11 and kinds[-1] == "ended"
    session.close()


@pytest.mark.slow
def test_a_left_hand_is_read_as_the_right_one(film, jpeg):
    def letters(frames):
        session = ReadingSession()
        ask(session, "start", time=0.0)
        replies = frames_of(session, frames, jpeg)
        session.close()
        return np.array([reply["letter"] or "-" for reply in replies])

    right, left = letters(film), letters(film[:, :, ::-1])
    assert (right == left).mean() > 0.7
    assert {"L", "B"} <= set(left)


def test_a_film_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.mp4: no such video"):
        ReadingSession(tmp_path / "none.mp4")


def test_a_camera_that_does_not_open_is_told():
    session = ReadingSession(99)
    ask(session, "start")
    for frame in range(2):  # that are on their way together
        reply, _ = ask(session, "frame", id=frame)
        assert reply["type"] == "ended" and "camera 99 does not open" in reply["message"]
    session.close()


def test_stop_lets_the_camera_of_this_machine_go_and_start_takes_it_again(camera, monkeypatch):
    released = []
    monkeypatch.setattr(camera, "release", lambda self: released.append(self))
    session = ReadingSession(0, model="landmark")
    for count in (0, 1):
        ask(session, "start")
        assert ask(session, "frame")[0]["type"] == "reading" and len(released) == count
        ask(session, "stop")
        assert len(released) == count + 1
    session.close()


def test_a_camera_that_is_unplugged_is_told_and_not_opened_again(monkeypatch):
    opened = []

    def frames(source):
        opened.append(source)
        yield 0.0, np.zeros((48, 64, 3), np.uint8)
        raise InputError(f"camera {source} gives no more frames: was it unplugged?")

    monkeypatch.setattr("asllib.live.session.iter_frames", frames)
    session = ReadingSession(0, model="landmark")
    ask(session, "start")
    replies = [ask(session, "frame", id=i)[0] for i in range(3)]
    assert [reply["type"] for reply in replies] == ["reading", "ended", "ended"]
    assert {reply["message"] for reply in replies[1:]} == {"camera 0 gives no more frames: was it unplugged?"}
    assert len(opened) == 1
    ask(session, "start")
    assert ask(session, "frame", id=3)[0]["type"] == "reading"
    session.close()


def test_the_runs_of_the_project_can_be_chosen(tmp_path, monkeypatch):
    networks = {"mine": "landmark", "also": "pixel", "both": "default", "a film's": "spelling"}
    for name, network in networks.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "card.json").write_text(json.dumps({"network": network}))
    (tmp_path / "runs" / "torn").mkdir()
    (tmp_path / "runs" / "torn" / "card.json").write_text('{"network": "land')
    (tmp_path / "runs" / "empty").mkdir()
    shipped = models()
    assert shipped[0] == "spelling" and {"landmark", "pixel"} <= set(shipped)
    monkeypatch.setattr("asllib.live.session.project_root", lambda: tmp_path)
    own = [str(tmp_path / "runs" / name) for name in ("a film's", "also", "both", "mine")]
    shipped = [name for name in shipped if "/" not in name]
    assert models() == [*shipped, *own]
    monkeypatch.setattr("asllib.live.session.project_root", lambda: tmp_path / "elsewhere")
    assert models() == shipped
    monkeypatch.chdir(tmp_path)  # as a notebook's folder
    assert models() == [*shipped, *own]


def test_trouble_with_a_hand(one_hand):
    def hand(points):
        return Hand(np.asarray(points, np.float32), one_hand.world, "right", 0.9)

    assert trouble(None, 0) == "No hand in view."
    fine = np.clip(one_hand.landmarks, 0.1, 0.9)
    assert trouble(hand(fine), 0) == ""
    assert trouble(hand(fine), 9) == "Hold still."
    assert trouble(hand(fine + np.float32([0.99 - fine[:, 0].max(), 0, 0]) + 0.005), 0) == "Hand too close to the edge."
    assert trouble(hand(0.5 + (fine - 0.5) * 0.1), 0) == "Come closer to the camera."


@pytest.mark.parametrize(("seconds", "speed"), [(0.1, 10), (1.0, 1)])
def test_a_hand_is_as_fast_as_the_time_that_it_takes_says(one_hand, seconds, speed):
    session, step = Session(), np.float32([palm_length(one_hand), 0, 0])
    assert session._speed(one_hand, 5.0) == 0
    aside = Hand(one_hand.landmarks + step, one_hand.world, "right", 0.9)
    assert session._speed(aside, 5.0 + seconds) == pytest.approx(speed, rel=0.01)


@pytest.mark.parametrize(
    ("confidence", "status"), [(0.9, "Reading A."), (0.3, "Not sure; is it A?"), (0.1, "No letter yet.")]
)
def test_the_status_says_how_sure_it_is(session, one_hand, jpeg, monkeypatch, confidence, status):
    hand = Hand(np.clip(one_hand.landmarks, 0.1, 0.9), one_hand.world, "right", 0.9)
    seen = FrameReading(hand, "A", confidence, np.zeros(26, np.float32), (), "")
    ask(session, "start", time=0.0)
    monkeypatch.setattr(session._reader, "read", lambda frame, seconds: seen)
    assert ask(session, "frame", [jpeg(np.zeros((48, 64, 3), np.uint8))], time=0.1)[0]["status"] == status


def test_a_film_of_this_machine_takes_its_time():
    started = time.perf_counter()
    assert [moment for moment, _ in _paced((i / 10, None) for i in range(4))] == [0, 0.1, 0.2, 0.3]
    assert 0.29 < time.perf_counter() - started
