"""What MediaPipe's own network sees in a hand, beyond the 21 landmarks that it says.

MediaPipe's landmark network was trained on far more hands than any set of letters shows. The 1,152 numbers that it
makes of a picture before it reads landmarks off them tell handshapes apart whose landmarks look alike: where the thumb
lies in a fist. They are taken as they are; only what reads letters from them (``JointNet``) is trained here.
"""

from __future__ import annotations

import functools
import hashlib
import threading
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from asllib.hands.tracker import MODEL_SHA256, Hand, model_file, table_hands
from asllib.quiet import LOG_LINE, without_lines

if TYPE_CHECKING:
    import pandas as pd
    from ai_edge_litert.interpreter import Interpreter

    from asllib.data.letterset import LetterSet

WIDTH = 1152  # numbers of an embedding
SIDE = 224  # pixels of the picture that the network takes
_POOLED = "model_1/model/global_average_pooling2d/Mean"
_PALM = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)  # landmarks that place the tracker's own crop
_lock = threading.Lock()  # the network keeps its input: one caller at a time


def hand_picture(image: np.ndarray, hand: Hand, side: int = SIDE) -> np.ndarray:
    """Cut out the hand as the tracker does when it follows one: turned upright, with room around, black beyond.

    Parameters
    ----------
    image
        (H, W, 3) uint8 RGB.
    hand
        The hand in it; a left one is mirrored, so that every picture shows a right hand.
    side
        Pixels of the picture.

    Returns
    -------
    numpy.ndarray
        (side, side, 3) uint8. The square is twice as wide as the palm and the first finger joints, moved a tenth of
        their height to the fingers, as in MediaPipe's hand tracking graph.
    """
    import cv2

    height, width = image.shape[:2]
    points = hand.landmarks[:, :2] * [width, height] - 0.5  # where a pixel's middle has whole numbers
    if hand.side == "left":
        image, points = image[:, ::-1], points * [-1, 1] + [width - 1, 0]
    x, y = (points[5] + 2 * points[9] + points[13]) / 4 - points[0]  # to become straight up
    length = max(float(np.hypot(x, y)), 1e-6)
    turn = np.array([[-y, x], [-x, -y]]) / length
    palm = points[list(_PALM)] @ turn.T
    low, high = palm.min(0), palm.max(0)
    scale = side / max(2 * float((high - low).max()), 1.0)
    centre = (low + high) / 2 - [0, 0.1 * (high - low)[1]]
    matrix = np.column_stack([scale * turn, side / 2 - scale * centre])
    image = np.ascontiguousarray(image)
    if scale < 0.7:  # shrinking skips pixels: smooth first
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / scale)
    return cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR)


def embed_hand(image: np.ndarray, hand: Hand) -> np.ndarray:
    """Embed the hand in an image, (H, W, 3) uint8 RGB -> (1152,) float32."""
    picture = hand_picture(image, hand)[None] / np.float32(255)
    with _lock:
        network = _network()
        network.set_tensor(network.get_input_details()[0]["index"], picture)
        network.invoke()
        return network.get_tensor(network.get_output_details()[0]["index"])[0]


def embed_set(letters: LetterSet, table: pd.DataFrame, *, progress: bool = True) -> np.ndarray:
    """Embed the hand in each photo of a set; the result is kept in the cache folder.

    Parameters
    ----------
    letters
        The set.
    table
        Its landmark table, one row a photo.

    Returns
    -------
    numpy.ndarray
        (N, 1152) float16, 0 where no hand was found.
    """
    import cv2
    from ai_edge_litert import __version__
    from tqdm.auto import tqdm

    from asllib.hands.landmarks import landmark_arrays
    from asllib.paths import cache_dir, replacing

    digest = hashlib.sha256(f"4 {MODEL_SHA256} {__version__} {cv2.__version__} {letters.sha256()}".encode())
    for name in ("landmarks", "left"):
        digest.update(np.ascontiguousarray(landmark_arrays(table)[name]).data)
    stored = cache_dir() / "embeddings" / f"{digest.hexdigest()[:32]}.npy"
    with suppress(OSError, ValueError):  # not there, or not whole
        return np.load(stored)
    result = np.zeros((len(letters), WIDTH), np.float16)
    found = [(i, hand) for i, hand in enumerate(table_hands(table)) if hand is not None]
    for i, hand in tqdm(found, desc="embeddings", unit="hand", disable=not progress):
        result[i] = embed_hand(letters.images[i], hand)
    with replacing(stored) as temporary:
        np.save(temporary, result)
    return result


@functools.cache
def _network() -> Interpreter:
    """The landmark network out of the tracker's model file, up to the numbers of the embedding."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter

    with zipfile.ZipFile(model_file()) as task:
        model = schema.ModelT.InitFromPackedBuf(task.read("hand_landmarks_detector.tflite"), 0)
    graph = model.subgraphs[0]
    # What follows is dropped: between its operations LiteRT keeps no tensor that is no output.
    graph.outputs = [[tensor.name.decode() for tensor in graph.tensors].index(_POOLED)]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    with without_lines(LOG_LINE):
        network = Interpreter(model_content=bytes(builder.Output()), num_threads=1)
        network.allocate_tensors()
    return network
