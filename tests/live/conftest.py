from __future__ import annotations

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def film():
    """Frames (F, 240, 320, 3) of the synthetic signer spelling LB."""
    from asllib.signer import render_word

    return render_word("LB", 4, letters_per_second=1.0, fps=15).frames


@pytest.fixture(scope="session")
def jpeg():
    """Encoder of a frame, as the browser does it."""

    def encode(frame: np.ndarray) -> bytes:
        return cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes()

    return encode
