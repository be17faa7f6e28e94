"""Read a stream of hands whose truth is known, as a live video's is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rapidfuzz.distance import Levenshtein

from asllib.hands.stream import Stream
from asllib.read.lexicon import Lexicon
from asllib.read.reader import ReadsLetters, TextReader
from asllib.read.speller import ReadLetter, SpellerSettings

TAIL_S = 0.5  # seconds without a hand after the last frame


@dataclass(frozen=True)
class Spelled:
    """A film that was read.

    Attributes
    ----------
    word, read
        What is spelled, and the letters that were read.
    letters
        The same with their times.
    corrected
        After the lexicon.
    delays
        Seconds from the middle of a hold to its letter, for each letter that was read right.
    seconds
        Length of the film.
    """

    word: str
    read: str
    letters: tuple[ReadLetter, ...]
    corrected: str
    delays: tuple[float, ...]
    seconds: float


def read_stream(
    stream: Stream,
    settings: SpellerSettings | None = None,
    lexicon: Lexicon | None = None,
    recognizer: ReadsLetters | None = None,
) -> Spelled:
    """Read a film's hands as a live video's: the same reader, frame by frame."""
    letters: list[ReadLetter] = []
    reader = TextReader(recognizer, settings)
    reader.settings = replace(reader.settings, space_s=60.0)  # a film is one word, to its end
    for hand, time in zip(stream.hands(), stream.times, strict=True):
        letters += reader.read_hand(hand, float(time), stream.aspect).letters
    end = float(stream.times[-1])
    for step in range(1, 11):
        letters += reader.read_hand(None, end + TAIL_S * step / 10, stream.aspect).letters
    read = "".join(letter.letter for letter in letters)
    corrected = read if lexicon is None or not read else lexicon.correct(read, reader.evidence())
    return Spelled(stream.word, read, tuple(letters), corrected, tuple(delays(stream, letters)), end)


def delays(stream: Stream, letters: Sequence[ReadLetter]) -> list[float]:
    """Seconds from the middle of each hold to the moment at which its letter was written, for right letters."""
    read = "".join(letter.letter for letter in letters)
    found = []
    for block in Levenshtein.opcodes(read, stream.word):
        if block.tag == "equal":
            for place, position in zip(
                range(block.src_start, block.src_end), range(block.dest_start, block.dest_end), strict=True
            ):
                held = stream.times[stream.positions == position]
                found.append(letters[place].end_s - (held[0] + held[-1]) / 2)
    return found
