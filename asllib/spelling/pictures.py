"""The pictures of a hand in a video: what they say of the letter, beside what the landmarks say."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
import torch
from torch.nn.utils import convert_conv2d_weight_memory_format

from asllib.hands.embedding import hand_picture
from asllib.hands.tracker import Hand
from asllib.letters import STATIC
from asllib.models.picture_net import SIDE, PictureNet
from asllib.spelling.moments import Resampler
from asllib.spelling.streams import Stream

# How much a picture's logarithms count beside the landmarks'. Chosen on words of practice signers who are in no test.
WEIGHT = 0.8


@cache
def load_pictures() -> tuple[PictureNet, str]:
    """The shipped picture network, and the hash of its weights."""
    from asllib.models.zoo import fold, load_model

    model, card = load_model("picture")
    fold(model)
    assert isinstance(model, PictureNet)
    convert_conv2d_weight_memory_format(model, torch.channels_last)  # as pictures come: a third quicker
    return model, card["weights_sha256"]


def as_input(pictures: torch.Tensor) -> torch.Tensor:
    """Bytes to what the picture network takes: (B, 112, 112, 3) uint8 -> (B, 3, 112, 112) float in 0..1."""
    return pictures.permute(0, 3, 1, 2).float() / 255


@torch.inference_mode()
def read_picture(frame: np.ndarray, hand: Hand) -> np.ndarray:
    """Logarithms (24,) of the still letters' probabilities, by the picture of the hand in a frame (H, W, 3) uint8."""
    picture = torch.from_numpy(hand_picture(frame, hand, SIDE))[None]
    return load_pictures()[0](as_input(picture))[0].log_softmax(0).numpy()


def read_pictures(frames: Iterable[np.ndarray], stream: Stream) -> np.ndarray:
    """Read the hand in each frame of a film as a live video's, (F, 24) float32; NaN where there is none."""
    said, sampler = np.full((len(stream), len(STATIC)), np.nan, np.float32), Resampler()
    for i, (frame, hand) in enumerate(zip(frames, stream.hands(), strict=True)):
        for _ in sampler.push(hand, float(stream.times[i])):
            pass
        if hand is not None:
            said[i] = read_picture(frame, sampler.turned(hand))
    return said
