import zipfile
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mirrored import mirror_hand

from asllib.errors import InputError
from asllib.hands import Attempt, Hand, hand_crop, look_at, model_file
from asllib.hands import look as module
from asllib.hands.look import PRESENCE, SIDE, WIDTH, Crop, cut, points_up
from asllib.hands.tracker import find


def crop_of(image: np.ndarray, hand: Hand, **how) -> Crop:
    return hand_crop(hand.landmarks, image.shape[1], image.shape[0], left=hand.side == "left", **how)


def flipped(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[:, ::-1])


def apart(one: Hand, other: Hand) -> float:
    """Median distance of two hands' landmarks, in lengths of the hand; of square images."""
    size = np.ptp(one.landmarks[:, :2], axis=0).max()
    return float(np.median(np.linalg.norm((one.landmarks - other.landmarks)[:, :2], axis=1)) / size)


@pytest.fixture
def pointing():
    """Landmarks of a hand that points to the right, in an image of 200x120 pixels."""
    points = np.zeros((21, 3), np.float32)
    points[:, :2] = 40, 60  # the wrist
    for finger in range(5):
        for joint in range(4):
            points[1 + 4 * finger + joint, :2] = 60 + 20 * joint, 40 + 10 * finger
    return points / np.array([200, 120, 200], np.float32)


def test_the_crop_shows_the_hand_upright(pointing):
    image = np.zeros((120, 200, 3), np.uint8)
    image[58:63, 38:43, 0] = 255  # the wrist
    image[58:63, 58:63, 1] = 255  # the middle finger's knuckle

    def centres(**how):
        picture = cut(image, hand_crop(pointing, 200, 120, **how))
        assert picture.shape == (SIDE, SIDE, 3) and picture.dtype == np.uint8
        return [np.argwhere(picture[..., colour] > 128).mean(0) for colour in (0, 1)]

    wrist, knuckle = centres()
    assert abs(wrist[1] - knuckle[1]) < 2 and wrist[0] > knuckle[0] + 20
    assert abs(wrist[1] - SIDE / 2) < 25  # in the middle of the width
    wrist, knuckle = centres(turn=90)
    assert abs(wrist[0] - knuckle[0]) < 2 and wrist[1] < knuckle[1] - 20  # from up to the right: clockwise
    near, far = (np.linalg.norm(np.subtract(*centres(zoom=zoom))) for zoom in (1.0, 1.25))
    assert near / far == pytest.approx(1.25, rel=0.03)


def test_the_mirrored_crop_is_the_crop_mirrored(pointing):
    image = np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8)
    crop, mirrored = (hand_crop(pointing, 200, 120, left=left) for left in (False, True))
    np.testing.assert_array_equal(cut(image, mirrored), cut(image, crop)[:, ::-1])


def test_beyond_the_border_its_pixels_are_repeated():
    image = np.full((100, 100, 3), 50, np.uint8)
    image[:, :2], image[:2] = (200, 0, 0), (0, 200, 0)  # the left and the upper border
    for scale in (0.5, 2.0):  # shrunk and enlarged
        picture = cut(image, Crop(np.eye(2), scale, np.zeros(2)))  # the upper left corner in the middle
        assert (picture[SIDE // 2 + 20 :, : SIDE // 2 - 20] == (200, 0, 0)).all()
        assert (picture[: SIDE // 2 - 20, SIDE // 2 + 20 :] == (0, 200, 0)).all()
        assert (picture[SIDE // 2 + 20 :, SIDE // 2 + 20 :] == 50).any()


@pytest.mark.parametrize("size", [(150, 100), (900, 600)])  # enlarged, and shrunk before it is turned
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize(("turn", "zoom"), [(0.0, 1.0), (30.0, 1.3), (-100.0, 0.8)])
def test_what_is_seen_in_a_crop_lies_in_the_image_where_it_is(monkeypatch, pointing, size, left, turn, zoom):
    """A network that sees the brightest spot, and says so."""
    width, height = size
    x, y = np.array([0.37, 0.55]) * size
    rows, columns = np.mgrid[:height, :width]
    spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (width / 60) ** 2))
    image = np.repeat((255 * spot).round().astype(np.uint8)[..., None], 3, 2)

    class Network:
        shown = np.zeros((1, SIDE, SIDE, 3), np.float32)

        def tensor(self, place):
            return lambda: self.shown

        def invoke(self):
            light = self.shown[0, :, :, 0] ** 2
            rows, columns = np.mgrid[:SIDE, :SIDE]
            place = np.array([(columns * light).sum(), (rows * light).sum()]) / light.sum()
            points = np.array([*place, 5.0] * 21, np.float32)
            self.said = [points, [0.7], [0.8], points / 1000, np.zeros(WIDTH, np.float32)]

        def get_tensor(self, place):
            return np.array([self.said[place]])

    monkeypatch.setattr(module, "_network", lambda: (Network(), 0, range(5)))
    crop = hand_crop(pointing, width, height, left=left, turn=turn, zoom=zoom)
    hand = look_at(image, crop)
    np.testing.assert_allclose(hand.landmarks[:, :2] * size, [[x, y]] * 21, atol=0.6)
    np.testing.assert_allclose(hand.landmarks[:, 2] * width, 5 / crop.scale, rtol=1e-5)
    assert hand.presence == pytest.approx(0.7) and hand.score == pytest.approx(0.8)
    assert hand.side == ("left" if left else "right")


def test_landmarks_agree_with_those_of_mediapipe(drawn):
    distances, metres, sides = [], [], []
    for image in drawn[0]:
        for found in find(image, Attempt()):
            hand = look_at(image, crop_of(image, found))
            assert hand.landmarks.shape == hand.world.shape == (21, 3) and hand.landmarks.dtype == np.float32
            assert 0.5 <= hand.score <= 1
            distances.append(apart(found, hand))
            metres.append(np.median(np.linalg.norm(hand.world - found.world, axis=1)))
            sides.append(hand.side == found.side)
    assert len(distances) >= 6 and np.mean(sides) > 0.8
    assert np.median(distances) < 0.03 and np.median(metres) < 0.01


def test_landmarks_lie_on_the_drawn_hand(drawn):
    seen = [look_at(image, crop_of(image, hand)) for image, hand in zip(*drawn, strict=True)]
    assert np.median([apart(hand, one) for hand, one in zip(drawn[1], seen, strict=True)]) < 0.06
    assert np.mean([hand.side == one.side for hand, one in zip(drawn[1], seen, strict=True)]) >= 0.75


@pytest.mark.slow
def test_another_turn_size_or_the_mirror_changes_little(drawn):
    ways = {"turn": {"turn": 12.0}, "near": {"zoom": 0.9}, "far": {"turn": -12.0, "zoom": 1.15}}
    distances = {name: [] for name in [*ways, "as the other hand"]}
    for image, hand in zip(*drawn, strict=True):
        plain = look_at(image, crop_of(image, hand))
        for name, how in ways.items():
            other = look_at(image, crop_of(image, hand, **how))
            distances[name].append(apart(plain, other))
            assert np.median(np.linalg.norm(plain.world - other.world, axis=1)) < 0.02
        other = look_at(image, hand_crop(hand.landmarks, SIDE, SIDE, left=hand.side == "right"))
        distances["as the other hand"].append(apart(plain, other))
    assert max(np.median(found) for found in distances.values()) < 0.03, distances
    assert min(np.median(found) for found in distances.values()) > 1e-4  # another crop it is


def test_a_mirrored_image_has_the_mirrored_hand(drawn):
    for image, hand in zip(*drawn, strict=True):
        mirrored, crop, other_crop = flipped(image), crop_of(image, hand), crop_of(image, mirror_hand(hand))
        assert np.abs(cut(image, crop).astype(int) - cut(mirrored, other_crop)).mean() < 3
        there, back = look_at(image, crop), look_at(mirrored, other_crop)
        assert back.side != there.side and back.presence == pytest.approx(there.presence, abs=0.05)
        assert apart(mirror_hand(back), there) < 0.02
        np.testing.assert_allclose(mirror_hand(back).world, there.world, atol=0.01)


def test_a_crop_without_a_hand_is_known_by_its_presence(drawn):
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    for image, hand in zip(*drawn, strict=True):
        assert look_at(image, crop_of(image, hand)).presence > PRESENCE
        for none in (np.full_like(image, 120), noise):
            assert look_at(none, crop_of(image, hand)).presence < 0.2


def test_embeddings_tell_hands_apart(drawn):
    (first, second, *_), (hand, other, *_) = drawn
    there, again = (look_at(first, crop_of(first, hand)).embedding for _ in range(2))
    elsewhere = look_at(second, crop_of(second, other)).embedding
    assert there.shape == (WIDTH,) and there.dtype == np.float32 and np.isfinite(there).all()
    np.testing.assert_array_equal(there, again)
    mirrored = look_at(flipped(first), crop_of(first, mirror_hand(hand))).embedding
    likeness = np.corrcoef([there, mirrored, elsewhere])
    assert likeness[0, 1] > 0.98 > likeness[0, 2] + 0.1


@pytest.mark.slow
def test_another_library_makes_the_same_numbers_of_the_crop(drawn, tmp_path):
    image, hand = drawn[0][0], drawn[1][0]
    with zipfile.ZipFile(model_file()) as task:
        path = task.extract("hand_landmarks_detector.tflite", tmp_path)
    network = cv2.dnn.readNetFromTFLite(path, engine=cv2.dnn.ENGINE_CLASSIC)  # the new one joins layers
    network.setInput(cv2.dnn.blobFromImage(np.ascontiguousarray(cut(image, crop_of(image, hand))), 1 / 255))
    theirs = network.forward("model_1/model/global_average_pooling2d/Mean").ravel()
    assert np.ptp(theirs) > 1
    np.testing.assert_allclose(look_at(image, crop_of(image, hand)).embedding, theirs, atol=1e-4)


def test_threads_that_look_at_once_see_what_one_sees(drawn):
    crops = [(image, crop_of(image, hand)) for image, hand in zip(*drawn, strict=True)]
    alone = [look_at(*one) for one in crops]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(look_at, *zip(*(crops * 4), strict=True)))
    for hand, other in zip(alone * 4, together, strict=True):
        np.testing.assert_array_equal(hand.landmarks, other.landmarks)
        np.testing.assert_array_equal(hand.embedding, other.embedding)


@pytest.mark.parametrize("place", [0.5, 4.0, -1e4])
@pytest.mark.parametrize("shape", [(40, 60, 3), (1, 1, 3), (3, 2000, 3)])
def test_a_hand_without_extent_or_beyond_the_picture_does_no_harm(place, shape):
    image = np.full(shape, 90, np.uint8)
    hand = look_at(image, hand_crop(np.full((21, 3), place, np.float32), shape[1], shape[0], left=True))
    assert all(np.isfinite(values).all() for values in (hand.landmarks, hand.world, hand.embedding, hand.presence))
    assert hand.presence < PRESENCE


@pytest.mark.parametrize("content", [None, b"no model"])
def test_a_model_file_that_is_missing_or_another_one_is_refused_with_one_line(tmp_path, monkeypatch, content):
    assert model_file().name == "hand_landmarker.task"
    if content:
        (tmp_path / "hand_landmarker.task").write_bytes(content)
    package = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: package)
    with pytest.raises(InputError, match="missing" if content is None else "damaged") as error:
        model_file.__wrapped__()
    assert "\n" not in str(error.value) and "pip install" in str(error.value)


def test_a_hand_points_up_within_60_degrees():
    def pointing(degrees: float, aspect: float) -> bool:
        points = np.zeros((21, 3), np.float32)
        points[9] = np.sin(np.deg2rad(degrees)) / aspect, -np.cos(np.deg2rad(degrees)), 0
        return points_up(Hand(points, points, "right", 1.0), aspect)

    for aspect in (0.5, 1.0, 2.0):
        assert [pointing(degrees, aspect) for degrees in (0, 55, -55)] == [True] * 3
        assert [pointing(degrees, aspect) for degrees in (65, -65, 90, 180)] == [False] * 4
