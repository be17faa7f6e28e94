"""The trained decoder's parts on made-up answers of the network."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from asllib.errors import InputError
from asllib.hands.stream import RATE, resample
from asllib.networks.spelling import SpellingConfig, SpellingNet, moment_features
from asllib.read.decoder import FrameListener, HandListener, PeakSpeller, Said, SpellerSettings
from asllib.read.reader import TextReader
from asllib.train.films import stream_of

SIGNS = ("A", "B", "space")


def spell(numbers: str, sure: float = 0.97, stall: float = 0.0, **settings) -> list[str]:
    """One digit a moment: the number of the sign; after a "|" no frame came for a while."""
    return [letter.letter for letter in spelled(numbers, SIGNS, sure, stall, **settings)]


def spelled(numbers: str, signs: tuple[str, ...], sure: float = 0.97, stall: float = 0.0, **settings):
    speller, read = PeakSpeller(signs, SpellerSettings(**settings)), []
    stalls = [stall * numbers[:i].count("|") for i, number in enumerate(numbers) if number != "|"]
    for i, number in enumerate(numbers.replace("|", "")):
        probabilities = np.full(1 + len(signs), (1 - sure) / len(signs))
        probabilities[int(number)] = sure
        moment = i / RATE + stalls[i]
        read += speller.update(Said(moment, probabilities), moment + 0.15)
        assert all(letter.start_s in [k / RATE + stalls[k] for k in range(i + 1)] for letter in read)
    return read


def test_one_letter_a_peak():
    assert spell("000111110022222000", hold_s=0.1) == ["A", "B"]
    assert spell("0111122220", hold_s=0.1) == ["A", "B"]
    assert spell("0000000") == []


def test_doubles_need_neither_in_between():
    assert spell("0111000001110", hold_s=0.1) == ["A", "A"]
    assert spell("01110111", hold_s=0.1) == ["A"]  # it only wavered
    assert spell("1" * 20 + "0" + "1" * 40, hold_s=0.1) == ["A"]  # so does a hand that is held for long
    assert spell("1" * 600, hold_s=0.1) == ["A"]
    assert spell("3" * 600, hold_s=0.1) == ["space"]


@pytest.mark.parametrize(
    ("numbers", "mended"),
    [
        ("01110022220", True),
        ("0111" + "0" * 18 + "22220", False),
        ("0" + "1" * 24 + "022220", False),
        ("03330022220", False),
    ],
    ids=["at once", "later", "held long", "after another letter"],
)
def test_the_beginning_of_a_stroke_is_no_letter_of_its_own(numbers, mended):
    first, second = spelled(numbers, ("I", "J", "A"), hold_s=0.1)
    assert (first.letter, second.letter) == ("A" if "3" in numbers else "I", "J")
    assert second.mends == mended


@pytest.mark.parametrize("first", range(40))
def test_a_double_needs_two_moments_away_wherever_they_fall(first):
    speller, letters = PeakSpeller(("A", "B"), SpellerSettings()), 0
    for number, sign in enumerate((0, 1, 1, 1, 0, 0, 1, 1, 0, 0), first):
        letters += len(speller.update(Said(number / RATE, np.eye(3)[sign]), number / RATE))
    assert letters == 2


@pytest.mark.parametrize("stall", [0.2, 2.0, 60.0])
def test_a_stall_makes_no_hold_longer(stall):
    for numbers, letters in {
        "01111|10110000": "A",
        "0111|1110011100": "A",
        "011|000011000": "AA",
        "011|2|20": "AB",
    }.items():
        for given in (numbers, numbers.replace("|", "")):
            assert spell(given, stall=stall, hold_s=0.05, again_s=0.15) == [*letters], given


def test_short_or_unsure_peaks_are_none():
    assert spell("0001000", hold_s=0.1) == []
    assert spell("000111000", sure=0.5, hold_s=0.1, confidence=0.6) == []


def test_a_letter_comes_while_the_hand_still_holds():
    speller = PeakSpeller(SIGNS, SpellerSettings(hold_s=0.1))
    sure = np.array([0.03, 0.9, 0.04, 0.03])
    came = [i for i in range(20) if speller.update(Said(i / RATE, sure), i / RATE)]
    assert came == [2]  # two moments long, and the one after is known


def test_what_another_letter_follows_at_once_was_passed_through():
    assert spell("0111212220", hold_s=0.05) == ["A", "B"]
    assert spell("0112110", hold_s=0.05) == ["A"]
    assert spell("0001000", hold_s=0.05) == ["A"]  # as short, but nothing follows
    assert spell("1212120", hold_s=0.05) == ["B"]
    assert spell("0001", hold_s=0.05) == []  # what comes after it is not known yet


def test_a_letter_that_was_held_long_must_be_away_long_to_be_doubled():
    assert spell("1" * 20 + "0" * 10 + "1" * 5, hold_s=0.1) == ["A"]
    assert spell("1" * 20 + "0" * 16 + "1" * 5, hold_s=0.1) == ["A", "A"]
    assert spell("1" * 39 + "0" * 25 + "1" * 5, hold_s=0.1) == ["A", "A"]  # the time of a space is always enough


def test_a_letter_is_doubled_only_when_it_was_surely_away():
    shown, sure, unsure = (np.array(p) for p in ([0.1, 0.9, 0, 0], [0.97, 0.03, 0, 0], [0.6, 0.4, 0, 0]))

    def read(between: list[np.ndarray]) -> int:
        speller = PeakSpeller(SIGNS, SpellerSettings(hold_s=0.1))
        moments = [*[shown] * 5, *between, *[shown] * 5]
        return sum(len(speller.update(Said(i / RATE, p), i / RATE)) for i, p in enumerate(moments))

    assert read([unsure] * 12) == 1
    assert read([*[unsure] * 6, sure, *[unsure] * 5]) == 2


@pytest.mark.parametrize(
    ("moved", "read"),
    [
        ([0.0] * 8 + [0.3] * 4 + [0.0] * 8, ["A", "A"]),  # it slides aside
        ([0.0] * 8 + [0.1] * 12, ["A"]),  # it drifts
        ([0.0] * 8 + [0.3] * 2 + [0.0] * 10, ["A"]),  # it shakes
        ([0.3] * 8 + [0.0] * 12, ["A"]),  # it still rises as the letter is read
        ([0.0] * 8 + [0.3] * 12, ["A"]),  # it leaves
    ],
)
def test_a_letter_that_slides_aside_is_doubled(moved, read):
    speller, said = PeakSpeller(SIGNS, SpellerSettings(hold_s=0.1)), []
    for i, far in enumerate(moved):
        said += speller.update(Said(i / RATE, np.array([0.02, 0.96, 0.01, 0.01]), far), i / RATE + 0.15)
    assert [letter.letter for letter in said] == read
    assert all(after.start_s >= before.end_s for before, after in itertools.pairwise(said))


def test_listening_frame_by_frame_says_the_same_as_all_at_once(hands):
    torch.manual_seed(0)
    config = SpellingConfig(channels=16)
    model = SpellingNet(config).eval()
    landmarks, world = hands(1)
    from asllib.hands.look import Hand

    times = np.arange(90) / 27
    seen = [
        None if 40 < i < 55 else Hand(landmarks[0] + np.float32(0.05 * np.sin(i / 4)), world[0], "left", 1.0)
        for i in range(90)
    ]
    stream = stream_of(seen, times, 1.5)
    listener, said = HandListener(model), []
    for hand, time in zip(stream.hands(), times, strict=True):
        said += listener.hear(hand, float(time), 1.5)
    even = resample(stream)
    points = (torch.from_numpy(values)[None] for values in (even.landmarks, even.world, even.left))
    features = moment_features(*points, torch.tensor([1.5]))
    with torch.inference_mode():
        whole = model(features)[0].softmax(0).T.numpy()
    assert np.array([one.probabilities for one in said]) == pytest.approx(whole, abs=1e-4)
    assert [one.time_s for one in said] == pytest.approx(even.times - config.delay / RATE)


def test_a_letter_says_since_when_it_was_seen_when_it_was_sure_and_how_sure_it_was():
    first, second = np.array([0.05, 0.9, 0.03, 0.02]), np.array([0.2, 0.05, 0.7, 0.05])
    speller, read = PeakSpeller(SIGNS, SpellerSettings(hold_s=0.1)), []
    for i, said in enumerate([first] * 5 + [second] * 5):
        read += speller.update(Said(i / RATE, said), i / RATE + 0.15)  # which the network says so much later
    assert [letter.letter for letter in read] == ["A", "B"]
    assert [letter.confidence for letter in read] == pytest.approx([0.9, 0.7])
    assert [letter.start_s for letter in read] == pytest.approx([0, 5 / RATE])
    assert [letter.end_s for letter in read] == pytest.approx([2 / RATE + 0.15, 7 / RATE + 0.15])


@pytest.mark.parametrize("name, value", [("confidence", 0), ("confidence", 1.2), ("hold_s", -1), ("space_s", 0)])
def test_bad_settings_are_refused(name, value):
    with pytest.raises(InputError, match=f"{name}={value}"):
        SpellerSettings(**{name: value})


@pytest.mark.parametrize("numbers, expected", [("1111000", []), ("1" * 20, ["wave"]), ("1" * 90, ["wave"])])
def test_a_sign_that_was_added_must_be_held_longer(numbers, expected):
    assert [one.letter for one in spelled(numbers, ("wave", "A", "B"))] == expected


class Shows:
    """In a recogniser's place: says L of every hand, as sure as it is told to be."""

    alphabet, sure = "LB", 0.9

    def probabilities(self, hands, aspect, image=None):
        return np.float32([self.sure, 1 - self.sure])


def read_frames(hand, times, recognizer=None, place=lambda time: (0.0, 0.0), aspect=1.0) -> str:
    """What a recogniser of single frames reads of a hand, or of none where its place is None."""
    listener, read = FrameListener(recognizer or Shows()), ""
    speller = PeakSpeller(listener.signs, SpellerSettings())
    for time in [*times, *(times[-1] + np.arange(1, 11) / 20)]:
        aside = place(time) if time <= times[-1] else None
        shown = None
        if aside is not None:
            palm = np.linalg.norm(hand.landmarks[9, :2] - hand.landmarks[0, :2])
            shown = replace(hand, landmarks=hand.landmarks + np.float32([*np.multiply(palm, aside), 0]))
        for said in listener.hear(shown, float(time), aspect):
            read += "".join(one.letter for one in speller.update(said, float(time)))
    return read


@pytest.mark.parametrize("fps", [10, 15, 30, 60])
def test_frames_of_any_rate_are_read_once_a_hold(one_hand, fps):
    times = np.arange(round(2.5 * fps)) / fps
    assert read_frames(one_hand, times) == "L"
    assert read_frames(one_hand, times, place=lambda time: None if 0.6 < time < 1.4 else (0.0, 0.0)) == "LL"
    assert read_frames(one_hand, times, place=lambda time: None if 0.6 < time < 1.1 else (0.0, 0.0)) == "L"
    lost = times[:: max(2, fps // 5)]  # single frames in which no hand is found
    assert read_frames(one_hand, times, place=lambda time: None if time in lost[1:-1] else (0.0, 0.0)) == "L"


def test_a_handshape_of_which_the_network_is_not_sure_is_none(one_hand):
    unsure = Shows()
    unsure.sure = 0.45
    unsure.probabilities = lambda *_: np.float32([0.45, 0.3])
    assert read_frames(one_hand, np.arange(60) / 30, unsure) == ""


def test_a_hand_on_its_way_shows_nothing_and_one_that_slides_aside_shows_its_letter_twice(one_hand):
    times = np.arange(36) / 30
    assert read_frames(one_hand, times, place=lambda time: (6 * time, 0.0)) == ""
    assert read_frames(one_hand, times, place=lambda time: (2 * np.clip(time - 0.4, 0, 0.4), 0.0)) == "LL"
    assert read_frames(one_hand, times, place=lambda time: (np.clip(time - 0.4, 0, 0.1), 0.0)) == "L"


@pytest.mark.parametrize(("way", "moved"), [((0.5, 0.0), 0.5), ((0.0, -0.5), 0.0)], ids=["aside", "up"])
def test_a_hand_slides_aside_and_an_arm_that_rises_does_not(one_hand, way, moved):
    listener, palm = FrameListener(Shows()), np.linalg.norm(one_hand.landmarks[9, :2] - one_hand.landmarks[0, :2])
    listener.hear(one_hand, 0.0, 1.0)
    landmarks = one_hand.landmarks + np.float32([*np.multiply(palm, way), 0])
    (said,) = listener.hear(replace(one_hand, landmarks=landmarks), 1 / RATE, 1.0)
    assert said.found and said.moved == pytest.approx(moved, abs=0.05)


@pytest.mark.parametrize("time", [float("nan"), None, 0.0, -1.0])
def test_times_are_refused_in_one_line(time):
    reader = TextReader(Shows())
    reader.read_hand(None, 0.0, 1.0)
    with pytest.raises(InputError) as caught:
        reader.read_hand(None, time, 1.0)
    assert "\n" not in str(caught.value)
