"""One person at one camera: takes messages of the browser, gives what it shows. No widget in here."""

import dataclasses
import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from asllib.errors import InputError
from asllib.files import open_image, read_json
from asllib.hands.look import Hand, hand_crop, look_at
from asllib.networks.store import SHIPPED
from asllib.paths import project_root
from asllib.read.decoder import SpellerSettings
from asllib.read.reader import TextReader, load_network
from asllib.read.video import iter_frames

Message = dict[str, Any]
Source = int | str | Path | None  # a camera's number or a film of this machine; None: the browser's camera

MAX_PIXELS = 1920 * 1080  # of a frame; the browser sends 320x240
EDGE = 0.01  # of the picture's width or height: a hand nearer to its edge is cut off
FAR = 0.07  # palm length in picture heights, below which landmarks are poor
FAINT = 0.15  # probability below which the likeliest letter is not shown
FAST = 2.5  # palm lengths a second, above which no letter is held
NETWORKS = ("spelling", "default", "landmark", "pixel")  # in the order of the list


class Session:
    """Answer the messages of a camera view; subclasses decide what to do with a hand.

    Without a ``source`` the browser sends the frames, else it gets them.
    """

    def __init__(self, source: Source = None) -> None:
        if source is not None:
            iter_frames(source)  # opens nothing yet, but raises InputError for a missing film
        self.source = source
        self._view: str | None = None  # the view whose Start was pressed last; only its frames are read
        self._frames: Generator[tuple[float, np.ndarray], None, None] | None = None
        self._ended = ""  # why there are no more frames, until the next Start
        self._offset = 0.0  # from the view's clock to the session's, which never runs back
        self._time = 0.0
        self._last: tuple[float, Hand] | None = None

    def answer(self, message: Message, buffers: Sequence[bytes] = ()) -> tuple[Message, list[bytes]]:
        """Answer any message, with its ``view`` and ``id``; a frame of this machine's camera is added as JPEG."""
        images: list[bytes] = []
        try:
            reply, images = self._answer(message, buffers)
        except Exception as error:  # also a bug must not stop the frames: the cell shows it
            said = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            reply = {"type": "error", "message": said}
            if message.get("type") == "settings":  # the page's lists go back to the settings in use
                reply |= self.state()
        return {**reply, **{key: message[key] for key in ("view", "id") if key in message}}, images

    def warm(self) -> None:
        """Do the slow work of a first frame before the signer's first frame; nothing on the page changes."""

    def close(self) -> None:
        """Release this machine's camera; the next frame opens it again."""
        if self._frames is not None:
            self._frames.close()
        self._frames = None

    def state(self) -> Message:
        """The content of a view when it appears."""
        raise NotImplementedError

    def _answer(self, message: Message, buffers: Sequence[bytes]) -> tuple[Message, list[bytes]]:
        kind, view = message.get("type"), message.get("view")
        if kind == "frame":
            return self._frame(message, buffers)
        if kind == "start":
            self._view, self._last, self._ended = view, None, ""
            self._offset = self._time + 1.0 - message.get("time", 0.0)
            self.close()
        elif kind == "stop" and view == self._view:
            self._view = None
            self.close()
        elif kind == "settings":
            self._settings(message)
        elif kind == "edit":
            self._edit(message)
        elif kind not in ("hello", "stop"):
            raise InputError(f"a message of type {kind!r}: unknown")
        return {"type": "state", **self.state()}, []

    def _frame(self, message: Message, buffers: Sequence[bytes]) -> tuple[Message, list[bytes]]:
        if message.get("view") != self._view:
            return {"type": "taken", "message": "The camera was started elsewhere; press Start to have it here."}, []
        if self._ended:  # a second frame was on its way
            return {"type": "ended", "message": self._ended}, []
        images: list[bytes] = []
        if self.source is None:
            started = time.perf_counter()
            seconds, frame = message.get("time", 0.0), decode(buffers)
        else:
            if self._frames is None:
                self._frames, self._offset = _paced(iter_frames(self.source)), self._time + 1.0
            try:
                seconds, frame = next(self._frames)
            except (InputError, StopIteration) as error:
                unplugged = f"camera {self.source} gives no more frames: was it unplugged?"
                film = not isinstance(self.source, int)
                self._ended = str(error) or ("The film is over; press Start." if film else unplugged)
                self.close()
                return {"type": "ended", "message": self._ended, **self._finish()}, []
            started = time.perf_counter()  # do not count waiting for the camera
            images = [encode(frame)]
        self._time = max(self._time + 1e-3, self._offset + seconds)
        reply = self._read(frame, self._time)
        return {"type": "reading", **reply, "ms": 1000 * (time.perf_counter() - started)}, images

    def _speed(self, hand: Hand | None, seconds: float) -> float:
        """Speed of a hand and its fingers in palm lengths a second; 0 for the first hand."""
        last, self._last = self._last, None if hand is None else (seconds, hand)
        if last is None or hand is None:
            return 0.0
        return apart(hand, last[1]) / max(seconds - last[0], 1e-3)

    def _settings(self, message: Message) -> None:
        raise InputError("the recorder has no settings")

    def _edit(self, message: Message) -> None:
        raise NotImplementedError

    def _read(self, frame: np.ndarray, seconds: float) -> Message:
        raise NotImplementedError

    def _finish(self) -> Message:
        """The content of the view at the end of a film; by default nothing new."""
        return {}


def _paced(frames: Iterator[tuple[float, np.ndarray]]) -> Generator[tuple[float, np.ndarray], None, None]:
    """Yield frames no earlier than their time; frames of a camera arrive at their time."""
    started = time.perf_counter()
    for seconds, frame in frames:
        time.sleep(max(0.0, min(1.0, seconds - (time.perf_counter() - started))))
        yield seconds, frame


def decode(buffers: Sequence[bytes]) -> np.ndarray:
    """Decode the JPEG of a message to (H, W, 3) uint8 RGB; InputError if it is invalid or too large."""
    with open_image(bytes(buffers[0]) if buffers else b"", "frame", MAX_PIXELS) as image:
        return np.array(image.convert("RGB"))


def encode(frame: np.ndarray) -> bytes:
    """Encode (H, W, 3) uint8 RGB as JPEG, at most 640 pixels wide."""
    if frame.shape[1] > 640:
        frame = cv2.resize(frame, (640, round(frame.shape[0] * 640 / frame.shape[1])), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def palm_length(hand: Hand) -> float:
    """Wrist to the middle finger's knuckle, as a fraction of the picture."""
    return math.dist(hand.landmarks[9, :2], hand.landmarks[0, :2])


def apart(hand: Hand, other: Hand) -> float:
    """Mean distance of the points of two hands, in palm lengths of the first."""
    x, y = (hand.landmarks - other.landmarks)[:, :2].T
    return float(np.hypot(x, y).mean() / max(palm_length(hand), 1e-3))


def trouble(hand: Hand | None, speed: float) -> str:
    """The reason why a hand cannot be read well, "" if there is none."""
    if hand is None:
        return "No hand in view."
    if np.abs(hand.landmarks[:, :2] - 0.5).max() > 0.5 - EDGE:
        return "Hand too close to the edge."
    if palm_length(hand) < FAR:
        return "Come closer to the camera."
    return "Hold still." if speed > FAST else ""


def points(hand: Hand | None) -> list[list[float]] | None:
    """Landmarks for the browser to draw: 21 of [x, y], fractions of the picture."""
    return None if hand is None else np.round(hand.landmarks[:, :2].astype(float), 4).tolist()


def models() -> list[str]:
    """Networks to choose from: shipped ones, then run folders in ``runs/`` of the project and the working folder."""
    found = [name for name in NETWORKS if name in SHIPPED]
    runs = {(folder / "runs").resolve() for folder in (project_root(), Path.cwd())}
    for card in sorted(card for folder in runs for card in folder.glob("*/card.json")):
        with suppress(InputError):
            if read_json(card).get("network") in NETWORKS:
                found.append(str(card.parent))
    return found


class ReadingSession(Session):
    """The live cell's session: every frame goes through ``asllib.read.TextReader``, the path of ``asl read``.

    ``source`` is as in ``Session``, ``model`` as in ``load_network``, by default the first of ``models()``.
    """

    def __init__(self, source: Source = None, model: str | Path | None = None) -> None:
        super().__init__(source)
        model = str(model or models()[0])
        self.model = model if model in SHIPPED else str(Path(model).resolve())
        self.settings = SpellerSettings()
        self._network = load_network(self.model)
        self._reader = TextReader(self._network, self.settings)
        self._suggested: tuple[str, tuple[str, ...]] = ("", ())  # the text, and its suggestions

    @property
    def text(self) -> str:
        """What was read so far."""
        return self._reader.text

    def state(self) -> Message:
        """Text, settings and choices."""
        sliders = {"confidence": self.settings.confidence, "hold_s": self.settings.hold_s}
        return {
            "text": self.text,
            "words": self._words(),
            "settings": {"model": self.model, **sliders},
            "models": [[name, Path(name).name] for name in dict.fromkeys([self.model, *models()])],
        }

    def _answer(self, message: Message, buffers: Sequence[bytes]) -> tuple[Message, list[bytes]]:
        kind = message.get("type")
        # A view that another view displaced also says stop: the other view goes on.
        if kind == "start" or (kind == "stop" and message.get("view") == self._view):
            self._reopen()  # the tracker forgets earlier pictures
        if kind == "start":
            self._reader.space()  # Start begins a word; after Stop the last one can still be chosen
        return super()._answer(message, buffers)

    def warm(self) -> None:
        """Show the tracker a black frame, the network a hand, and correct a word: the first time of each is slow."""
        other, black = TextReader(self._network), np.zeros((240, 320, 3), np.uint8)
        other.read(black, 0.0)
        points = np.random.default_rng(0).uniform(0.3, 0.7, (21, 3)).astype(np.float32)
        seen = look_at(black, hand_crop(points, 320, 240))
        for frame in range(1, 10):
            other.read_hand(dataclasses.replace(seen, landmarks=points), frame / 30, 4 / 3, black)
        self._reader.lexicon.correct("HELO", other.evidence())
        self._reader.lexicon.complete("HE")

    def _settings(self, message: Message) -> None:
        model, before = str(message.get("model", self.model)), self.model
        changes = {name: message[name] for name in ("confidence", "hold_s") if name in message}
        settings = dataclasses.replace(self.settings, **changes)
        network = self._network if model == before else load_network(model)
        # Check the whole message before any of it takes effect.
        self.model, self._network, self.settings, self._reader.settings = model, network, settings, settings
        if model != before:
            self._reopen()
            self.warm()

    def _edit(self, message: Message) -> None:
        what, word = str(message.get("what")), message.get("word")
        actions = {"space": self._reader.space, "delete": self._reader.delete, "clear": self._reader.clear}
        if what == "choose":
            if word not in self._words():
                raise InputError(f"{word!r} is not among the words that are suggested")
            self._reader.choose(word)
        else:
            actions[what]()

    def _words(self) -> tuple[str, ...]:
        """Suggestions for the word that is being spelled, looked up when the text changes."""
        if self._suggested[0] != self.text:
            self._suggested = (self.text, self._reader.suggestions())
        return self._suggested[1]

    def _read(self, frame: np.ndarray, seconds: float) -> Message:
        reading = self._reader.read(frame, seconds)
        confidence = reading.confidence
        letter = None if confidence < FAINT else reading.letter
        status = trouble(reading.hand, self._speed(reading.hand, seconds))
        if not status:
            sure = f"Reading {letter}." if confidence >= self.settings.confidence else f"Not sure; is it {letter}?"
            status = "No letter yet." if letter is None else sure
        shown = {"hand": points(reading.hand), "letter": letter, "confidence": round(confidence, 3)}
        return {**shown, "text": self.text, "words": self._words(), "status": status}

    def _finish(self) -> Message:
        """Read the film's end as ``read_text`` does."""
        self._reader.finish()
        return {"text": self.text, "words": self._words()}

    def _reopen(self) -> None:
        """Take a new reader, which continues the text."""
        before = self._reader
        self._reader = TextReader(self._network, self.settings)
        self._reader.text, self._reader.lexicon = before.text, before.lexicon
