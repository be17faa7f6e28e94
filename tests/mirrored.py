"""The hand that a mirrored image shows, for tests of both sides."""

import dataclasses

import numpy as np

from asllib.hands import Hand


def mirror_hand(hand: Hand) -> Hand:
    """Exchange left and right; the embedding, that of a right hand, stays."""
    flip = np.array([-1, 1, 1], np.float32)
    landmarks = hand.landmarks * flip + np.array([1, 0, 0], np.float32)
    side = "left" if hand.side == "right" else "right"
    return dataclasses.replace(hand, landmarks=landmarks, world=hand.world * flip, side=side)
