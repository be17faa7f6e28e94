"""The recorder's session: ask for signs, keep good frames, write a data folder."""

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from asllib.data.letterset import COLUMNS, read_manifest
from asllib.errors import InputError
from asllib.hands.look import Hand
from asllib.hands.tracker import HandTracker
from asllib.live.session import Message, Session, Source, apart, points, trouble
from asllib.paths import write_bytes, write_text

Row = dict[Hashable, Any]  # of the manifest

COUNTDOWN = 3.0  # seconds to form the sign
PAUSE = 0.25  # least seconds between two kept frames
PATIENCE = 1.0  # seconds after which a frame is kept although it resembles the last one
ALIKE = 0.12  # mean distance of the points of two hands in palm lengths, below which they are alike
DARK = 40  # mean of the pixels, 0..255, below which a frame is too dark

HINTS = (
    "Show it to the camera as you usually do.",
    "Turn your hand a little to the left.",
    "Turn your hand a little to the right.",
    "Come a little closer.",
    "Go a little further away.",
    "Tip your hand a little forward.",
    "Tip your hand a little back.",
    "Move it to another place in the picture.",
)


class RecordingSession(Session):
    """Ask for one sign after the other and keep ``per_sign`` frames of each with the hand well in view.

    Signs are letters, or names of any signs; the manifest stores ``signer``; ``source`` is as in ``Session``. A folder
    with earlier recordings is continued. InputError if a name cannot be a folder's name, the number is below 1, or the
    folder holds something else.
    """

    def __init__(
        self, folder: str | Path, signs: Sequence[str], per_sign: int = 10, signer: str = "me", source: Source = None
    ) -> None:
        super().__init__(source)
        self.folder = Path(folder)
        self.signs = [_name(sign) for sign in signs]
        if not self.signs or len(set(self.signs)) < len(self.signs):
            raise InputError(f"signs {signs!r}: name at least one sign, each once")
        if per_sign < 1:
            raise InputError(f"per_sign={per_sign}: keep at least 1 frame of each sign")
        self.per_sign = per_sign
        self.signer = _name(signer, "signer")
        for path in (self.folder, *self.folder.parents):
            if path.is_file():
                raise InputError(f"{path}: a file; name a folder")
        self._rows = self._earlier()
        self._tracker = HandTracker(video=True)
        self._passed: Counter[str] = Counter()
        self._go_on(0)

    @property
    def kept(self) -> dict[str, int]:
        """Number of frames of each sign by this signer in the folder."""
        counts = Counter(row["label"] for row in self._rows if row["signer"] == self.signer)
        return {sign: counts[sign] for sign in self.signs}

    def warm(self) -> None:
        """Show the tracker a black frame: the first one is slow."""
        self._tracker.detect(np.zeros((240, 320, 3), np.uint8), 0)

    def state(self) -> Message:
        """The current sign and its progress."""
        kept, passed = self.kept, [[reason, n] for reason, n in self._passed.most_common()]
        about = {"sign": self._sign, "kept": kept.get(self._sign or "", 0), "of": self.per_sign}
        return {**about, "signs": [[*one] for one in kept.items()], "passed": passed, "folder": str(self.folder)}

    @property
    def _sign(self) -> str | None:
        return self.signs[self._at] if self._at < len(self.signs) else None

    def _go_on(self, at: int) -> None:
        """Go on to the next incomplete sign from this number, if any, and start a countdown."""
        self._at, kept = at, self.kept
        while self._sign is not None and kept[self._sign] >= self.per_sign:
            self._at += 1
        self._passed.clear()
        self._started: float | None = None  # set by the next frame
        self._kept_last: tuple[float, Hand] | None = None

    def _answer(self, message: Message, buffers: Sequence[bytes]) -> tuple[Message, list[bytes]]:
        if message.get("type") == "start":
            self._started = None
        return super()._answer(message, buffers)

    def _edit(self, message: Message) -> None:
        if self._sign is None:
            return
        if message.get("what") == "again":
            thrown = [row for row in self._rows if (row["label"], row["signer"]) == (self._sign, self.signer)]
            if thrown:
                self._write([row for row in self._rows if row not in thrown])
            for row in thrown:  # last: the manifest never names a photo that is not there
                (self.folder / row["file"]).unlink(missing_ok=True)
            self._go_on(self._at)
        elif message.get("what") == "skip":
            self._go_on(self._at + 1)

    def _read(self, frame: np.ndarray, seconds: float) -> Message:
        hand = self._tracker.detect(frame, 1000 * seconds)
        reason = trouble(hand, self._speed(hand, seconds))
        if self._started is None:
            self._started = seconds
        left = max(0.0, COUNTDOWN - (seconds - self._started))
        status, hint = reason or "Ready.", ""
        if self._sign is not None and left == 0:
            status = self._keep(frame, hand, reason, seconds)
            left = 0.0 if self._started is not None else COUNTDOWN  # of the next sign
        if self._sign is None:
            missing = ", ".join(f"{sign} {n} of {self.per_sign}" for sign, n in self.kept.items() if n < self.per_sign)
            said = f"Not complete: {missing}. Run this cell again to go on." if missing else "Done."
            status, left = f"{said} The folder is {self.folder}.", 0.0
        else:
            hint = HINTS[self.kept[self._sign] * len(HINTS) // self.per_sign % len(HINTS)]
        return {"hand": points(hand), "status": status, "hint": hint, "left": left, **self.state()}

    def _keep(self, frame: np.ndarray, hand: Hand | None, reason: str, seconds: float) -> str:
        """Keep a frame or count the reason against it; after enough frames go on to the next sign."""
        last = self._kept_last
        if not reason and frame.mean() < DARK:
            reason = "Too dark."
        if not reason and last is not None and seconds - last[0] < PAUSE:
            return "Kept."
        if hand and not reason and last is not None and apart(last[1], hand) < ALIKE and seconds - last[0] < PATIENCE:
            reason = "Too much like the last one: change it a little."
        if reason:
            self._passed[reason] += 1
            return reason
        assert hand is not None and self._sign is not None  # a missing hand is a reason
        self._save(frame)
        self._kept_last = seconds, hand
        if self.kept[self._sign] >= self.per_sign:
            self._go_on(self._at + 1)
        return "Kept."

    def _save(self, frame: np.ndarray) -> None:
        numbers = [int(Path(row["file"]).stem.rpartition("-")[2]) for row in self._rows if row["label"] == self._sign]
        file = f"{self._sign}/{self.signer}-{1 + max(numbers, default=0):04d}.jpg"
        path = self.folder / file
        if not path.parent.resolve().is_relative_to(self.folder.resolve()):
            raise InputError(f"{path.parent}: a link out of {self.folder}; remove it")
        if not self._rows:
            self._write([])  # marks a folder without photos as the recorder's
        write_bytes(path, cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())
        row: Row = {"file": file, "label": self._sign, "source": "recorded", "signer": self.signer, "original": file}
        self._write([*self._rows, row | {"split": ""}])

    def _write(self, rows: list[Row]) -> None:
        """Write the manifest, which makes a photo count; after each photo, so that none is lost."""
        write_text(self.folder / "manifest.csv", pd.DataFrame(rows, columns=[*COLUMNS]).to_csv(index=False))
        self._rows = rows

    def _earlier(self) -> list[Row]:
        """The earlier recordings in the folder."""
        if not (self.folder / "manifest.csv").is_file():
            if self.folder.exists() and any(not path.name.startswith(".") for path in self.folder.iterdir()):
                raise InputError(f"{self.folder}: holds something else; name a new folder")
            return []
        table = read_manifest(self.folder)  # checks that files are in the folder, since "again" deletes them
        names = zip(table["label"], table["signer"], table["file"], strict=True)
        own = [re.fullmatch(rf"{re.escape(f'{label}/{who}')}-\d{{4,}}\.jpg", file) for label, who, file in names]
        if not (all(own) and (table["source"] == "recorded").all()):
            raise InputError(f"{self.folder}: was not written by the recorder; name a new folder")
        return table.to_dict("records")


def _name(text: object, what: str = "sign") -> str:
    """A sign's or signer's name, which names folders and files."""
    if not isinstance(text, str) or not re.fullmatch(r"\w[\w -]{0,31}", text.strip()):
        raise InputError(f"{what} {text!r}: a name has letters, digits, spaces, - and _, 32 at most")
    text = text.strip()  # as in reading of manifests
    return text.upper() if len(text) == 1 else text
