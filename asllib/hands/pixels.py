"""From a photo to what the pixel network reads: grey, cropped to the hand, 28x28, 0..1, standardised."""

import cv2
import numpy as np

from asllib.hands.landmarks import FINGERS
from asllib.hands.look import Hand

SIDE = 28
MARGIN = 0.25  # of the hand's longer side, kept around it: fingertips and wrist stay inside


def to_gray(image: np.ndarray) -> np.ndarray:
    """Turn RGB into the brightness that people see, (H, W, 3) uint8 -> (H, W) uint8 (ITU-R BT.601)."""
    return image if image.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)


def crop_box(hand: Hand | None, width: int, height: int) -> tuple[int, int, int]:
    """Find the square around a hand, (left, top, side) in pixels, which may reach beyond the image; else the middle."""
    if hand is None:
        side = min(width, height)
        return (width - side) // 2, (height - side) // 2, side
    points = hand.landmarks[:, :2] * [width, height]
    low, high = points.min(0), points.max(0)
    side = max(8, round(float((high - low).max()) * (1 + 2 * MARGIN)))
    left, top = np.round((low + high - side) / 2).astype(int)
    return int(left), int(top), side


def crop_square(image: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
    """Cut a square out of an image; where it reaches beyond, the border's pixels are repeated."""
    height, width = image.shape[:2]
    rows = np.clip(np.arange(top, top + side), 0, height - 1)
    columns = np.clip(np.arange(left, left + side), 0, width - 1)
    return image[rows[:, None], columns]


def hand_crop(image: np.ndarray, hand: Hand | None) -> np.ndarray:
    """Cut the square around a hand out of an image; without a hand the middle square of the image."""
    return crop_square(image, *crop_box(hand, image.shape[1], image.shape[0]))


def hand_mask(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Where a hand with landmarks (21, 2) in pixels can be, (height, width) bool: palm, and fingers of usual width."""
    palm = np.sqrt(((points[[5, 9, 13, 17]] - points[0]) ** 2).sum(1).mean())
    longest = np.linalg.norm(points[:, None] - points, axis=-1).max()
    size = max(palm, 0.35 * longest)  # a palm seen from its edge is short
    mask = np.zeros((height, width), np.uint8)
    whole = np.round(points).astype(np.int32)
    for finger in FINGERS.values():
        cv2.polylines(mask, [whole[list(finger)]], False, 1, max(1, round(0.36 * size)))
    outline = cv2.convexHull(whole[[0, 1, 2, 5, 9, 13, 17]])
    cv2.fillConvexPoly(mask, outline, 1)
    cv2.polylines(mask, [outline], True, 1, max(1, round(0.3 * size)))
    return mask.astype(bool)


def hand_only(image: np.ndarray, hand: Hand) -> np.ndarray:
    """Crop as ``hand_crop`` does, in grey, and give all that lies around the hand the hand's mean, (S, S) uint8."""
    height, width = image.shape[:2]
    gray = to_gray(hand_crop(image, hand))
    left, top, _ = crop_box(hand, width, height)
    mask = hand_mask(hand.landmarks[:, :2] * [width, height] - [left, top], *gray.shape)
    return np.where(mask, gray, np.uint8(round(float(gray[mask].mean()))))


def resize(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Resize an image to side x side; shrinking averages over areas, so that nothing is skipped."""
    shrinks = side < min(image.shape[:2])
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def to_pixels(image: np.ndarray, hand: Hand | None, *, background: bool = False) -> np.ndarray:
    """Turn a photo (H, W, 3) uint8 RGB into the image (28, 28) uint8 that the pixel network reads; one stays as it is.

    A left hand is mirrored, as the set that the network learns from shows right hands. ``background`` keeps what lies
    around the hand, as Sign Language MNIST does; without it a stranger's room cannot mislead.
    """
    if image.shape == (SIDE, SIDE):
        return image
    gray = resize(to_gray(hand_crop(image, hand)) if hand is None or background else hand_only(image, hand))
    return np.ascontiguousarray(gray[:, ::-1]) if hand is not None and hand.side == "left" else gray


def standardise(images: np.ndarray) -> np.ndarray:
    """Bring each image (.., H, W) float to mean 0 and standard deviation 1: brightness and contrast are gone."""
    mean = images.mean((-2, -1), keepdims=True)
    return (images - mean) / np.maximum(images.std((-2, -1), keepdims=True), 1e-6)
