import zipfile

import cv2
import numpy as np
import pytest

from asllib.data import load_photos
from asllib.hands import embedding
from asllib.hands.embedding import SIDE, WIDTH, embed_hand, embed_set, hand_picture
from asllib.hands.tracker import Hand, mirror_hand, model_file
from asllib.paths import cache_dir
from asllib.runs import track_once


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Two letters of a synthetic signer with the true hands."""
    from asllib.signer import render_letters

    shots = render_letters("LY", 1, 1)
    hands = [Hand(shots.landmarks[i], shots.world[i], shots.sides[i], 1.0) for i in range(2)]
    return shots.images, hands


def test_the_picture_shows_the_hand_upright():
    image = np.zeros((120, 200, 3), np.uint8)
    points = np.zeros((21, 3), np.float32)
    points[:, 0], points[:, 1] = 40, 60  # the wrist, and a hand that points to the right
    for finger in range(5):
        for joint in range(4):
            points[1 + 4 * finger + joint, :2] = 60 + 20 * joint, 40 + 10 * finger
    image[58:63, 38:43, 0] = 255
    image[58:63, 58:63, 1] = 255  # the middle finger's knuckle
    landmarks = points / np.array([200, 120, 200], np.float32)
    picture = hand_picture(image, Hand(landmarks, landmarks, "right", 1.0))
    assert picture.shape == (SIDE, SIDE, 3) and picture.dtype == np.uint8

    def centre(colour):
        return np.argwhere(picture[..., colour] > 128).mean(0)

    wrist, knuckle = centre(0), centre(1)
    assert abs(wrist[1] - knuckle[1]) < 2 and wrist[0] > knuckle[0] + 20
    assert abs(wrist[1] - SIDE / 2) < 25  # in the middle of the width


def test_a_left_hand_gives_the_picture_of_a_right_one(drawn):
    for image, hand in zip(*drawn, strict=True):
        mirrored = np.ascontiguousarray(image[:, ::-1])
        there, back = hand_picture(image, hand), hand_picture(mirrored, mirror_hand(hand))
        assert np.abs(there.astype(int) - back).mean() < 3


def test_embeddings_tell_hands_apart(drawn):
    (first, second), (hand, other) = drawn
    there, again, elsewhere = embed_hand(first, hand), embed_hand(first, hand), embed_hand(second, other)
    assert there.shape == (WIDTH,) and there.dtype == np.float32 and np.isfinite(there).all()
    np.testing.assert_allclose(there, again)
    likeness = np.corrcoef([there, embed_hand(np.ascontiguousarray(first[:, ::-1]), mirror_hand(hand)), elsewhere])
    assert likeness[0, 1] > 0.98 > likeness[0, 2] + 0.1


def test_another_library_makes_the_same_numbers_of_the_picture(drawn, tmp_path):
    (image, _), (hand, _) = drawn
    with zipfile.ZipFile(model_file()) as task:
        path = task.extract("hand_landmarks_detector.tflite", tmp_path)
    network = cv2.dnn.readNetFromTFLite(path, engine=cv2.dnn.ENGINE_CLASSIC)  # the new one joins layers
    network.setInput(cv2.dnn.blobFromImage(hand_picture(image, hand), 1 / 255))
    theirs = network.forward("model_1/model/global_average_pooling2d/Mean").ravel()
    assert np.ptp(theirs) > 1
    np.testing.assert_allclose(embed_hand(image, hand), theirs, atol=1e-4)


def test_a_hand_without_extent_or_beyond_the_picture_does_no_harm():
    image = np.full((40, 60, 3), 90, np.uint8)
    for points in (np.full((21, 3), 0.5, np.float32), np.full((21, 3), 4.0, np.float32)):
        assert np.isfinite(embed_hand(image, Hand(points, points, "left", 1.0))).all()


def test_a_set_is_embedded_once(drawn, tmp_path, no_data, monkeypatch):
    import PIL.Image

    images, _ = drawn
    for letter, image in zip("LY", images, strict=True):
        (tmp_path / "set" / letter).mkdir(parents=True)
        PIL.Image.fromarray(image).save(tmp_path / "set" / letter / "1.png")
    (tmp_path / "set" / "A").mkdir()
    PIL.Image.new("RGB", (50, 50)).save(tmp_path / "set" / "A" / "1.png")
    letters = load_photos(tmp_path / "set")
    table = track_once(letters, progress=False)
    made = embed_set(letters, table, progress=False)
    assert made.shape == (3, WIDTH) and made.dtype == np.float16
    found = (table["score"] > 0).to_numpy()
    assert ((made != 0).any(1) == found).all() and found.sum() >= 1
    other = table.assign(side=np.where(table["side"] == "left", "right", "left"))
    assert (embed_set(letters, other, progress=False) != made).any(1)[found].all()  # seen in the mirror
    stored = sorted((cache_dir() / "embeddings").iterdir())
    assert len(stored) == 2
    for path in stored:  # as after a full disk
        path.write_bytes(path.read_bytes()[:100])
    np.testing.assert_array_equal(embed_set(letters, table, progress=False), made)
    monkeypatch.setattr(embedding, "embed_hand", lambda image, hand: pytest.fail("embedded again"))
    np.testing.assert_array_equal(embed_set(letters, table, progress=False), made)
