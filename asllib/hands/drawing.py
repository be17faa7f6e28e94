"""Draw the landmarks of a hand into an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from asllib.hands.landmarks import CONNECTIONS, FINGERS

if TYPE_CHECKING:
    from asllib.hands.look import Hand

# RGB, from Okabe and Ito, "Color Universal Design", 2008: told apart with any common colour vision.
FINGER_COLORS: dict[str, tuple[int, int, int]] = {
    "thumb": (230, 159, 0),
    "index": (86, 180, 233),
    "middle": (0, 158, 115),
    "ring": (240, 228, 66),
    "little": (204, 121, 167),
}
PALM_COLOR = (255, 255, 255)
_OUTLINE = (0, 0, 0)


def draw_hand(image: np.ndarray, hand: Hand | None) -> np.ndarray:
    """Return a copy of an image (H, W, 3) uint8 RGB with the bones and joints of a hand, if there is one, drawn on it.

    Lines and dots grow with the image.
    """
    import cv2

    drawn = np.ascontiguousarray(image).copy()
    if hand is None:
        return drawn
    height, width = drawn.shape[:2]
    # Sixteenths of a pixel, which OpenCV's `shift` reads: joints do not jump by whole pixels in a video.
    points = [tuple(int(v) for v in p) for p in np.round(hand.landmarks[:, :2] * [width, height] * 16)]
    thickness = max(1, round(min(height, width) / 120))
    colors = [PALM_COLOR] * 21
    for finger, joints in FINGERS.items():
        for joint in joints:
            colors[joint] = FINGER_COLORS[finger]

    def bone_color(start: int, end: int) -> tuple[int, int, int]:
        return colors[end] if colors[start] == colors[end] else PALM_COLOR

    # The dark lines first, all of them: they keep pale colours visible on a pale wall.
    for outline in (True, False):
        for start, end in CONNECTIONS:
            color, wide = (_OUTLINE, thickness + 2) if outline else (bone_color(start, end), thickness)
            cv2.line(drawn, points[start], points[end], color, wide, cv2.LINE_AA, 4)
    for point, color in zip(points, colors, strict=True):
        cv2.circle(drawn, point, 16 * (thickness + 2), _OUTLINE, -1, cv2.LINE_AA, 4)
        cv2.circle(drawn, point, 16 * (thickness + 1), color, -1, cv2.LINE_AA, 4)
    return drawn
