import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from counting import pytest_sessionfinish, pytest_terminal_summary, pytest_testnodedown  # noqa: F401 - hooks
from hypothesis import HealthCheck, Phase, settings

from asllib.data.letterset import LetterSet
from asllib.hands import extract
from asllib.hands.landmarks import SIZE_COLUMNS
from asllib.hands.look import Hand
from asllib.hands.tracker import ATTEMPTS, LOOKS
from asllib.letters import STATIC
from asllib.paths import cache_dir

torch.set_num_threads(1)  # the networks here are tiny: more threads only wait for each other

# A busy machine is no failure: no example is held to a time. "ci" tries the same examples in every run; "long", by
# HYPOTHESIS_PROFILE=long or --hypothesis-profile=long, many more and others each time.
_PATIENT = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow],
    "phases": set(Phase) - {Phase.explain},  # which traces every line
}
settings.register_profile("ci", **_PATIENT, derandomize=True, database=None)
settings.register_profile("long", **_PATIENT, max_examples=3000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_addoption(parser):
    parser.addoption("--faults", type=int, default=1, metavar="N", help="how often test_faults.py kills each command")


@pytest.fixture(autouse=True)
def fresh_torch():
    """Networks begin with the same weights in whatever order the tests run."""
    torch.manual_seed(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def blobs():
    """Maker of n smooth grey pictures, no two alike: (n, side, side) uint8."""

    def make(n: int, side: int = 28, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:side, :side] / side
        pictures = np.zeros((n, side, side))
        for _ in range(6):
            cx, cy, height = rng.random((3, n, 1, 1))
            pictures += height * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 0.02)
        pictures /= pictures.max((1, 2), keepdims=True)
        return (20 + 180 * pictures).astype(np.uint8)

    return make


@pytest.fixture
def letter_set():
    """Maker of a LetterSet of pixel images from letters, by default 28x28 noise; further columns as given."""

    def make(letters, images=None, **columns) -> LetterSet:
        n = len(letters)
        if images is None:
            images = np.random.default_rng(0).integers(0, 256, (n, 28, 28), np.uint8)
        names = [f"{i}.png" for i in range(n)]
        table = {"file": names, "label": letters, "source": "made", "signer": "unknown", "original": names}
        return LetterSet("made", pd.DataFrame({**table, "split": "", **columns}), images)

    return make


@pytest.fixture
def hands():
    """Maker of n right hands: image landmarks (n, 21, 3), world landmarks (n, 21, 3) float32, fingers at random."""

    def make(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        angles = np.radians(np.array([-50, -20, -5, 10, 25]) + rng.normal(0, 6, (n, 5)))
        lengths = np.array([0.04, 0.095, 0.1, 0.095, 0.085])[None, :, None] + np.cumsum(
            rng.uniform(0.008, 0.03, (n, 5, 4)), axis=2
        )
        world = np.zeros((n, 21, 3), np.float32)
        world[:, 1:, 0] = (np.sin(angles)[..., None] * lengths).reshape(n, 20)
        world[:, 1:, 1] = (-np.cos(angles)[..., None] * lengths).reshape(n, 20)
        world[:, 1:, 2] = rng.normal(0, 0.015, (n, 20))
        return (world * 2.5 + [0.5, 0.8, 0]).astype(np.float32), world

    return make


@pytest.fixture(scope="session")
def keep_looks():
    """Puts the landmarks of a set's photos into the cache, as if a tracker had seen them in every look."""

    def keep(letters: LetterSet, table: pd.DataFrame) -> None:
        folder = cache_dir() / "looks"
        folder.mkdir(parents=True)
        seen = table.loc[table.index.repeat(len(LOOKS)), ["side", *extract._NUMBERS, *SIZE_COLUMNS]]
        for start, photos in extract._chunks(letters.images, letters.table["file"].tolist()):
            part = seen.iloc[start * len(LOOKS) :][: len(photos) * len(LOOKS)].assign(embedding=b"")
            part.to_parquet(folder / f"{extract.chunk_key(photos, ATTEMPTS, len(LOOKS))}.parquet", index=False)

    return keep


@pytest.fixture
def one_hand(hands):
    landmarks, world = hands(1)
    return Hand(landmarks[0], world[0], "right", 0.9)


@pytest.fixture(scope="session")
def lit_hands(tmp_path_factory):
    """48 pictures of synthetic hands in different light, 12 of them black, and a folder of the same as photos."""
    import PIL.Image

    from asllib.signer import render_letters

    drawn = render_letters("ABCLVY", signers=2, views=1, size=112).images
    light = np.linspace(0, 1.2, 4)[:, None, None, None]
    images = list(np.concatenate([np.clip(picture * light, 0, 255).astype(np.uint8) for picture in drawn]))
    folder = tmp_path_factory.mktemp("hands")
    (folder / "A").mkdir()
    for i, image in enumerate(images):
        PIL.Image.fromarray(image).save(folder / "A" / f"{i:02d}.png")
    return images, folder


@pytest.fixture(scope="session")
def hand_table(lit_hands):
    """The landmark table of that folder, by one attempt, worked out in this process."""
    from asllib.data import load_photos
    from asllib.hands import ATTEMPTS, extract_landmarks

    return extract_landmarks(load_photos(lit_hands[1]).images, attempts=ATTEMPTS[:1], workers=1, progress=False)


@pytest.fixture
def static_letters():
    """Maker of n letters, the 24 in turn."""
    return lambda n: np.array([STATIC[i % 24] for i in range(n)])


@pytest.fixture(scope="session")
def real_data():
    """Folder of the real data; tests that need it are skipped where it is not."""
    folder = os.environ.get("ASLLIB_DATA")
    if not folder or not (Path(folder) / "sign-mnist").is_dir():
        pytest.skip("the real data is not here (ASLLIB_DATA)")
    return Path(folder)


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """An empty data folder and a cache of its own, which borrows the hand model from the user's."""
    from asllib.paths import cache_dir

    model = cache_dir() / "signer"
    model.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "signer").symlink_to(model)
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("ASLLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ASLLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def camera(monkeypatch):
    """Put a camera of grey frames, which is unplugged after so many, in the place of this machine's."""

    class Camera:
        frames = 3

        def __init__(self, number):
            self.left = self.frames

        def isOpened(self):
            return True

        def read(self):
            self.left -= 1
            return self.left >= 0, np.full((48, 64, 3), 128, np.uint8)

        def release(self):
            pass

    monkeypatch.setattr("cv2.VideoCapture", Camera)
    return Camera


@pytest.fixture
def swapped(tmp_path):
    """A run folder as ``asl train spelling`` writes it, whose network calls L "B" and B "L"."""
    import dataclasses

    from asllib.networks.store import load_model, save_model

    model, _ = load_model("spelling")
    signs = ["L" if sign == "B" else "B" if sign == "L" else sign for sign in model.config.signs]
    model.config = dataclasses.replace(model.config, signs=tuple(signs))
    return save_model(tmp_path / "swapped", model, model.config.signs, {})


@pytest.fixture
def asl(monkeypatch, capfd):
    """Run the command with these arguments; returns exit code, standard output and standard error."""
    from asllib.cli import main

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["asl", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
            raise SystemExit(0)
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return run
