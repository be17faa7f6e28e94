import numpy as np
import pytest

from asllib.hands import FINGER_COLORS, FINGERS, Hand, draw_hand


@pytest.fixture
def hand() -> Hand:
    landmarks = np.zeros((21, 3), np.float32)
    landmarks[0] = [0.5, 0.9, 0]
    for k, chain in enumerate(FINGERS.values()):
        for j, joint in enumerate(chain):
            landmarks[joint] = [0.1 + 0.2 * k, 0.7 - 0.2 * j, 0]
    return Hand(landmarks, np.zeros((21, 3), np.float32), "right", 0.9)


@pytest.mark.parametrize(("height", "width"), [(120, 160), (480, 640), (1200, 900)])
def test_each_joint_has_the_colour_of_its_finger(hand, height, width):
    image = np.full((height, width, 3), 128, np.uint8)
    drawn = draw_hand(image, hand)
    assert (image == 128).all() and drawn.shape == image.shape and drawn.dtype == np.uint8
    for finger, chain in FINGERS.items():
        for joint in chain:
            x, y = hand.landmarks[joint, :2] * [width, height]
            assert tuple(drawn[int(y), int(x)]) == FINGER_COLORS[finger]
    changed = (drawn != 128).any(-1).mean()
    assert 0.03 < changed < 0.4  # about the same share at every size


def test_points_beyond_the_border_and_no_hand_do_no_harm(hand):
    image = np.zeros((50, 50, 3), np.uint8)
    far = Hand(hand.landmarks * 3 - 1, hand.world, hand.side, hand.score)
    assert draw_hand(image, far).shape == (50, 50, 3)
    assert (draw_hand(image, None) == image).all()
    assert draw_hand(image[:, ::-1], hand).any()  # a view, as a mirrored picture is
