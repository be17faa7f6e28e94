"""Reading landmark tables and made-up videos; a recogniser of one letter stands in for a network."""

import itertools
import json
from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from rapidfuzz.distance import Levenshtein

from asllib.errors import InputError
from asllib.hands import Hand
from asllib.hands.landmarks import image_columns, landmark_columns, world_columns, write_landmarks
from asllib.letters import LETTERS
from asllib.networks.spelling import SpellingNet
from asllib.read import Reading, ReadLetter, ReadWord, TextReader, read_text, write_subtitles
from asllib.read.decoder import PeakSpeller
from asllib.read.reader import FrameReading
from asllib.read.subtitles import annotate, letters_json
from asllib.read.videos import read_hands


class Pointing:
    """Reads A from a hand in the left half of the picture, B from one in the right half."""

    alphabet = "AB"

    def probabilities(self, hands, aspect, image=None):
        left = float(hands[0].landmarks[0, 0] < 0.5)
        return np.array([0.05 + 0.9 * left, 0.95 - 0.9 * left], np.float32)


class Scripted:
    """Reads one sign after the other, each from so many hands."""

    def __init__(self, signs, frames=10):
        self.signs, self.frames, self.seen = list(signs), frames, 0
        self.alphabet = tuple(dict.fromkeys(self.signs))

    def probabilities(self, hands, aspect, image=None):
        shown = self.signs[self.seen // self.frames]
        self.seen += 1
        return np.float32([0.95 if sign == shown else 0.0 for sign in self.alphabet])


@pytest.fixture(scope="module")
def followed():
    """Maker of a film's hands and their times, found once."""
    from asllib.hands.tracker import HandTracker
    from asllib.read.video import iter_frames

    @cache
    def follow(film):
        tracker = HandTracker(video=True)
        return [(time, tracker.detect(frame, 1000 * time)) for time, frame in iter_frames(film)]

    return follow


@pytest.fixture(scope="module")
def drawn_word():
    """Hands of QUIET as a synthetic signer spells it, followed at 60 frames a second."""
    from asllib.hands.tracker import HandTracker
    from asllib.signer import render_word

    tracker, frames = HandTracker(video=True), render_word("QUIET", signer=4, fps=60).frames
    return [(i / 60, tracker.detect(frame, 1000 * i / 60)) for i, frame in enumerate(frames)]


@pytest.fixture
def table(hands):
    """Maker of a landmark table: "A" left, "B" right, "-" no hand, each for ten frames."""
    landmarks, world = hands(1)

    def make(shown: str, fps: float | None = 20.0) -> pd.DataFrame:
        rows = []
        for letter in np.repeat(list(shown), 10):
            found = letter != "-"
            points = landmarks[0] + np.float32([-0.25 if letter == "A" else 0.25, 0, 0])
            values = np.concatenate([points.ravel(), world[0].ravel()]) if found else np.full(126, np.nan)
            rows.append([None, None, "right" if found else None, float(found), *values])
        made = pd.DataFrame(rows, columns=landmark_columns())
        made["file"] = [f"{i}.jpg" for i in range(len(made))]
        if fps is not None:
            made["time_s"] = np.arange(len(made)) / fps
        return made

    return make


@pytest.fixture
def stored(table, tmp_path):
    def store(shown: str, fps: float | None = 20.0, ending: str = "csv"):
        path = tmp_path / f"hands.{ending}"
        write_landmarks(table(shown, fps), path)
        return path

    return store


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_landmarks_are_read_as_a_video_is(stored, ending):
    found = read_text(stored("AABB", ending=ending), Pointing())
    assert found.text == "AB" and found.hand_found == 1
    assert [letter.letter for letter in found.letters] == ["A", "B"]
    assert found.letters[1].start_s == pytest.approx(1.0, abs=0.06)


UNEVEN = [(0.2, 0.0), (0.5, 0.0), (0.8, 0.0), (0.0, 0.2), (0.0, 0.4), (0.0, 2.0)]


def read_unevenly(seen, fps, drop, stall, rng) -> str:
    """Read times and hands at another rate; some are dropped at random, or none come while a letter is held."""
    step = 1 / (fps * np.median(np.diff([time for time, _ in seen])))
    kept = [seen[int(i * step)] for i in range(int(len(seen) / step)) if rng.random() >= drop]
    reader, middle = TextReader(), 0.3 * kept[-1][0]
    for time, hand in kept:
        reader.read_hand(hand, time + stall * (time > middle), 4 / 3)
    reader.finish()
    times = [one.start_s for one in reader.letters]
    assert times == sorted(times) and all(one.start_s <= one.end_s for one in reader.letters)
    return reader.text.strip()


@pytest.mark.slow
@pytest.mark.parametrize("word", ["HELLO", "QUIZ"])
@pytest.mark.parametrize(("drop", "stall"), UNEVEN)
def test_frames_that_come_unevenly_write_no_letter_twice(real_data, followed, word, drop, stall, rng):
    seen = followed(real_data / "video" / f"{word.lower()}.mjpeg")
    # A slide of L may be missed; the Z of QUIZ is held and hardly drawn: it may be read D, or not at all.
    right = {word, word.replace("LL", "L"), word.replace("Z", "D"), word.replace("Z", "")}
    for fps in (30,) if drop else (30, 5):
        assert read_unevenly(seen, fps, drop, stall, rng) in right


@pytest.mark.slow
@pytest.mark.parametrize("fps", [5, 15, 30, 60])
def test_no_drawn_letter_is_written_twice_at_any_rate(fps, drawn_word, rng):
    for drop, stall in ((0.0, 0.0), *UNEVEN):
        read = read_unevenly(drawn_word, fps, drop, stall, rng)
        assert not any(map(str.__eq__, read, read[1:])), (read, drop, stall)
        if drop < (0.8 if fps > 10 else 0.2):  # of 5 frames a second 80 % dropped leave one
            assert Levenshtein.distance(read, "QUIET") <= 1, (read, drop, stall)


def test_without_times_a_rate_is_needed(stored):
    path = stored("AABB", fps=None)
    with pytest.raises(InputError, match="no column time_s") as caught:
        read_text(path, Pointing())
    assert "\n" not in str(caught.value)
    assert read_text(path, Pointing(), fps=30).text == "AB"
    with pytest.raises(InputError, match="fps=0"):
        read_text(path, Pointing(), fps=0)
    with pytest.raises(InputError, match="row 2: the times of frames are numbers that increase"):
        read_text(path, Pointing(), fps=1e-320)


def test_frames_of_no_size_are_taken_as_square_unless_the_aspect_is_given(table, tmp_path, capsys):
    path = tmp_path / "hands.csv"
    write_landmarks(table("AA").drop(columns=["width", "height"], errors="ignore"), path)
    assert {aspect for _, (_, aspect) in read_hands(path)} == {1.0}
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "taken as square; give aspect (--aspect 1.78)" in err
    assert {aspect for _, (_, aspect) in read_hands(path, aspect=1.5)} == {1.5}
    assert capsys.readouterr().err == ""
    write_landmarks(table("AA").assign(width=640, height=480), path)
    assert {aspect for _, (_, aspect) in read_hands(path)} == {np.float32(4 / 3)}
    for wrong in (0.0, np.nan, 640.0):
        with pytest.raises(InputError, match="aspect="):
            list(read_hands(path, aspect=wrong))


@pytest.mark.parametrize("time", [np.nan, 0.0, -1.0])
def test_times_that_do_not_increase_are_named(table, tmp_path, time):
    made = table("AA")
    made.loc[7, "time_s"] = time
    write_landmarks(made, tmp_path / "hands.csv")
    with pytest.raises(InputError, match="row 8"):
        list(read_hands(tmp_path / "hands.csv"))


@pytest.mark.parametrize(("wrong", "changes"), [(range(4, 28, 6), []), (range(15, 60), [15])])
def test_hands_of_a_table_are_of_the_side_that_most_of_its_rows_say(table, tmp_path, wrong, changes):
    made = table("A-BBBB")
    made.loc[made.index.isin(wrong) & (made["score"] > 0), "side"] = "left"
    for axis, finger in itertools.product("xyz", (5, 9, 13, 17)):  # straight fingers tell no side
        made[f"{axis}{finger + 3}"] = made[f"{axis}{finger}"]
    write_landmarks(made, tmp_path / "hands.csv")
    sides = [hand and hand.side for _, (hand, _) in read_hands(tmp_path / "hands.csv")]
    assert sides[10:20] == [None] * 10
    seen = [side for side in sides if side is not None]
    count = seen.count("right") if changes else 50
    assert seen == ["right"] * count + ["left"] * (50 - count)
    assert not changes or 10 < count < 30  # some rows later than the first that says so


def test_no_hand_is_empty_text(stored):
    found = read_text(stored("---"), Pointing())
    assert found.text == "" and found.letters == () and found.hand_found == 0


def test_a_long_pause_is_a_space_and_a_short_one_is_none(stored):
    assert read_text(stored("AA-----BB"), Pointing()).text == "A B"
    assert read_text(stored("AA-BB"), Pointing()).text == "AB"


@pytest.mark.parametrize("sunk, text", [(0.0, "AB"), (0.4, "A B")])
def test_a_hand_that_stays_up_ends_no_word(hands, sunk, text):
    class Pauses(Pointing):
        unsure = False

        def probabilities(self, hands, aspect, image=None):
            return np.full(2, 0.5, np.float32) if self.unsure else super().probabilities(hands, aspect, image)

    landmarks, world = hands(1)
    recognizer = Pauses()
    reader = TextReader(recognizer)
    for frame in range(80):
        recognizer.unsure = 20 <= frame < 60
        place = [-0.25 if frame < 20 else 0.25, sunk if recognizer.unsure else 0.0, 0]
        reader.read_hand(Hand(landmarks[0] + np.float32(place), world[0], "right", 1.0), frame / 20, 1.0)
    assert reader.text == text


@pytest.mark.parametrize("moving", [True, False])
def test_a_hand_is_read_by_one_thread_and_the_others_are_there_again(hands, monkeypatch, moving):
    seen = []

    class Counts(Pointing):
        def probabilities(self, hands, aspect, image=None):
            seen.append(torch.get_num_threads())
            return super().probabilities(hands, aspect, image)

    look = SpellingNet.see
    monkeypatch.setattr(SpellingNet, "see", lambda *given: seen.append(torch.get_num_threads()) or look(*given))
    landmarks, world = hands(1)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        reader = TextReader(None if moving else Counts())
        for frame in range(5):
            reader.read_hand(Hand(landmarks[0], world[0], "right", 1.0), frame / 20, 4 / 3)
        assert len(seen) >= 4 and set(seen) == {1} and torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


def test_text_can_be_edited(table):
    reader = TextReader(Pointing())
    reader.text = "HEL"
    assert "HELP" in reader.suggestions(5) and reader.word == "HEL"
    reader.choose("HELP")
    assert reader.text == "HELP "
    reader.space()
    reader.delete()
    assert reader.text == "HELP"
    reader.clear()
    assert reader.text == "" and reader.suggestions() == ()


def hear(reader, word, write=None):
    """Let the reader's network have said a word, surely, and let other letters have been written."""
    rows = np.full((4 * len(word), 27), 1e-4, np.float32)
    for place, letter in enumerate(word):
        rows[4 * place : 4 * place + 3, 1 + LETTERS.index(letter)] = 0.99
        rows[4 * place + 3, 0] = 0.99  # neither
    reader._moments.extend(rows)
    for letter in write or word:
        reader._write(ReadLetter(letter, 0.0, 0.1, 0.9))


def test_a_word_is_weighed_by_all_that_was_seen_of_it_or_by_its_letters():
    reader = TextReader()
    hear(reader, "HELD", "HELP")
    reader.correct()
    assert reader.text == "HELD"  # what was seen speaks for it
    reader.clear()
    reader.text = "HEL"  # as after Stop and Start, or with another model: the rest alone is seen
    hear(reader, "LO")
    assert reader.evidence() is None and "ELO" not in reader.suggestions()
    reader.correct()
    assert reader.text == "HELLO"
    reader.space()
    assert reader.evidence() is None
    hear(reader, "HELD", "HELP")
    reader.correct()
    assert reader.text == "HELLO HELD"  # a new word begins anew


def test_what_was_seen_counts_no_more_once_something_was_deleted():
    reader = TextReader()
    hear(reader, "HELLO")
    reader.space()
    reader.delete()  # the space: the word goes on
    hear(reader, "LO", "S")
    assert reader.text == "HELLOS" and reader.evidence() is None
    reader.delete()
    assert reader.evidence() is None
    reader.correct()
    assert reader.text == "HELLO"
    for _ in "HELLO":
        reader.delete()
    hear(reader, "HELD", "HELP")
    reader.correct()
    assert reader.text == "HELD"


def test_of_a_word_of_more_than_a_minute_the_rest_is_no_evidence(hands):
    landmarks, world = hands(1)
    hand = Hand(landmarks[0], world[0], "right", 1.0)
    reader = TextReader()
    hear(reader, "H" * (reader._moments.maxlen // 4), "H")
    assert reader.evidence() is not None
    for frame in range(20):
        reader.read_hand(hand, frame / 30, 1.0)
    assert reader.evidence() is None
    reader.space()
    assert reader.evidence() is None and reader._whole


@pytest.mark.parametrize("sign, becomes", [("space", "AB "), ("del", "A"), ("5", "AB5"), ("wave", "AB wave ")])
def test_what_signs_write(hands, sign, becomes):
    class Shows:
        alphabet = ("A", sign)

        def probabilities(self, hands, aspect, image=None):
            return np.float32([0.0, 1.0])

    landmarks, world = hands(1)
    reader = TextReader(Shows())
    reader.text = "AB"
    for frame in range(20):
        reader.read_hand(Hand(landmarks[0], world[0], "right", 1.0), frame / 20, 1.0)
    assert reader.text == becomes


def test_a_stroke_takes_the_place_of_the_letter_that_began_it(hands, monkeypatch):
    seen = [ReadLetter("B", 0, 0.1, 1), ReadLetter("I", 0.1, 0.2, 1), ReadLetter("J", 0.2, 0.5, 1, mends=True)]
    letters = iter([[letter] for letter in seen])
    monkeypatch.setattr(PeakSpeller, "update", lambda self, said, now_s: next(letters, []))
    landmarks, world = hands(1)
    reader, texts = TextReader(), []
    for frame in range(12):
        reader.read_hand(Hand(landmarks[0], world[0], "right", 1.0), frame / 20, 1.0)
        texts.append(reader.text)
    assert list(dict.fromkeys(texts)) == ["B", "BI", "BJ"]
    assert [letter.letter for letter in reader.letters] == ["B", "J"]


def test_a_hand_counts_as_found_though_it_shows_no_letter(stored):
    assert read_text(stored("AA--"), Scripted(["A", "B"], 10)).hand_found == 0.5
    nothing = SimpleNamespace(alphabet="AB", probabilities=lambda hands, *_: np.zeros(2, np.float32))
    assert read_text(stored("AA--"), nothing).hand_found == 0.5


def test_a_letter_that_is_held_while_the_text_is_cleared_begins_the_new_one(hands):
    landmarks, world = hands(1)
    reader = TextReader(Pointing())
    for frame in range(40):
        if frame == 20:
            assert reader.text == "B"
            reader.clear()
        reader.read_hand(Hand(landmarks[0] + np.float32([0.25, 0, 0]), world[0], "right", 1.0), frame / 20, 1.0)
    assert reader.text == "B"


@pytest.mark.parametrize("seen", ["BCAUSE", "BECAUTSE"])
def test_a_corrected_word_keeps_the_times_of_its_letters(stored, tmp_path, seen):
    path = stored(seen + 6 * "-" + "HELP")
    found = read_text(path, Scripted(seen + "HELP"), correct=True)
    assert found.text == "BECAUSE HELP" and [letter.letter for letter in found.letters] == [*seen, *"HELP"]
    because, help = found.words
    last = found.letters[len(seen) - 1]
    assert (because.word, because.start_s, because.end_s) == ("BECAUSE", 0.0, last.end_s)
    assert help.start_s == found.letters[len(seen)].start_s == pytest.approx((len(seen) + 6) / 2, abs=0.06)
    lines = write_subtitles(tmp_path / "film.srt", found).read_text().splitlines()
    assert lines[1].startswith("00:00:00,000 --> 00:00:0") and lines[2] == "BECAUSE" and lines[6] == "HELP"
    assert float(lines[1][-6:].replace(",", ".")) == pytest.approx(last.end_s + 1, abs=0.001)


@pytest.mark.parametrize("correct", [False, True])
def test_added_signs_are_letters_and_words_whatever_their_names(stored, correct):
    signs = ["A", "thank you", "B", "hello", "C", "D", "del"]
    found = read_text(stored(14 * "A"), Scripted(signs, 20), correct=correct)
    assert [letter.letter for letter in found.letters] == ["A", "thank you", "B", "hello", "C"]
    assert correct or found.text == "A thank you B hello C"
    assert [word.start_s for word in found.words] == [letter.start_s for letter in found.letters]
    assert {"thank you", "hello"} < {word.word for word in found.words}


def test_a_word_before_an_added_sign_is_corrected_too(stored):
    found = read_text(stored(14 * "A"), Scripted([*"BCAUSE", "hello"], 20), correct=True)
    assert found.text == "BECAUSE hello"


def test_what_is_deleted_is_no_letter_any_more():
    reader = TextReader(Pointing())
    for time, letter in enumerate(["B", "C", "wave", "X"]):
        reader._write(ReadLetter(letter, time, time + 0.5, 0.9))
    left = []
    while reader.text:
        reader.delete()
        left.append((reader.text, "".join(letter.letter[0] for letter in reader.letters)))
    assert left[:4] == [("BC wave ", "BCw"), ("BC wave", "BCw"), ("BC wav", "BCw"), ("BC wa", "BCw")]
    assert left[4:] == [("BC w", "BCw"), ("BC ", "BC"), ("BC", "BC"), ("B", "B"), ("", "")]
    reader.delete()
    assert (reader.text, reader.letters, reader.words) == ("", (), ())


def test_letters_of_a_corrected_word_can_be_deleted():
    reader = TextReader(Pointing())
    for time, letter in enumerate("HELO"):
        reader._write(ReadLetter(letter, time, time + 0.5, 0.9))
    reader.choose("HELLO")
    reader.delete()
    reader.delete()
    assert reader.text == "HELL" and [(word.word, word.end_s) for word in reader.words] == [("HELL", 2.5)]
    for _ in "HELL":
        reader.delete()
    assert reader.text == "" and reader.letters == ()


@pytest.mark.parametrize("names", ["ALICE", ["ALICE", 3]])
def test_names_that_are_no_list_of_words_are_refused(stored, names):
    with pytest.raises(InputError, match="give a list of words") as caught:
        read_text(stored("AABB"), Pointing(), names=names)
    assert "\n" not in str(caught.value)


def test_names_are_not_corrected(stored):
    path = stored("BECAUSR")
    assert read_text(path, Scripted("BECAUSR"), correct=True).text == "BECAUSE"
    assert read_text(path, Scripted("BECAUSR"), correct=True, names=["Becausr"]).text == "BECAUSR"


@pytest.fixture
def reading():
    letters = [ReadLetter(letter, 0.5 * i, 0.5 * i + 0.2, 0.9) for i, letter in enumerate("HIYOU")]
    words = (ReadWord("HI", 0.0, 0.7), ReadWord("YOU", 1.0, 2.2))
    return Reading("HI YOU", tuple(letters), words, 1.0, 4.0)


def test_subtitles_show_words_at_their_times(tmp_path, reading):
    text = write_subtitles(tmp_path / "film.srt", reading).read_text()
    assert text.split("\n\n")[0] == "1\n00:00:00,000 --> 00:00:01,000\nHI"
    assert "2\n00:00:01,000 --> 00:00:03,200\nYOU" in text


def test_subtitles_of_a_long_film_count_hours_and_minutes(tmp_path):
    reading = Reading("HI", (), (ReadWord("HI", 3725.5, 7261.25),), 1.0, 8000.0)
    assert "01:02:05,500 --> 02:01:02,250\nHI" in write_subtitles(tmp_path / "film.srt", reading).read_text()


def test_letters_as_json(reading):
    rows = json.loads(json.dumps(letters_json(reading.letters)))
    assert rows[1] == {"letter": "I", "start_s": 0.5, "end_s": 0.7, "confidence": 0.9}


def test_a_frame_is_annotated_in_a_copy(table, tmp_path, stored):
    frame = np.full((120, 160, 3), 90, np.uint8)
    reader = TextReader(Pointing())
    for time, (hand, aspect) in read_hands(stored("AA")):
        last = reader.read_hand(hand, time, aspect)
    drawn = annotate(frame, last)
    assert drawn.shape == frame.shape and (frame == 90).all()
    assert (drawn[:100] != 90).any() and drawn[-3:].mean() < 60


def test_of_a_long_text_the_end_is_drawn():
    def drawn(text):
        return annotate(np.full((120, 160, 3), 90, np.uint8), FrameReading(None, None, 0.0, np.zeros(26), (), text))

    assert (drawn("FIRST " + "X" * 60) == drawn("OTHER " + "X" * 60)).all()
    assert (drawn("X" * 60 + " FIRST") != drawn("X" * 60 + " OTHER")).any()


def test_columns_are_the_tables(table):
    assert list(table("A").columns[4:]) == [*image_columns(), *world_columns(), "time_s"] and len(LETTERS) == 26
