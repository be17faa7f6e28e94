import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session")
def photos():
    """Table of the real photos with their full paths; tests that need it are skipped where it is not."""
    folder = Path(os.environ.get("ASLLIB_DATA", "")) / "photos"
    if not os.environ.get("ASLLIB_DATA") or not (folder / "manifest.csv").is_file():
        pytest.skip("the real photos are not here (ASLLIB_DATA)")
    table = pd.read_csv(folder / "manifest.csv")
    return table.assign(path=[folder / file for file in table["file"]])


@pytest.fixture(scope="session")
def read_photo():
    def read(path) -> np.ndarray:
        return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)

    return read


@pytest.fixture(scope="session")
def drawn():
    """Four letters of two synthetic signers, the first with the right hand, the second with the left one."""
    from asllib.hands import Hand
    from asllib.signer import render_letters

    shots = render_letters("LYBV", 2, 1)
    assert shots.sides == ["right"] * 4 + ["left"] * 4
    truth = zip(shots.landmarks, shots.world, shots.sides, strict=True)
    return list(shots.images), [Hand(landmarks, world, side, 1.0) for landmarks, world, side in truth]
