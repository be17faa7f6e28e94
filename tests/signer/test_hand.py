import numpy as np
import pytest
import torch
from overlap import overlap

from asllib.signer.alphabet import ANGLES, HIGHEST, LETTERS, LOWEST, OTHERS, letter_pose
from asllib.signer.hand import (
    MIDDLING,
    hand_model,
    hand_shape,
    landmarks,
    orientation,
    penetration,
    pose_hand,
    segment_distance,
    settle,
    skin,
)
from asllib.signer.scene import draw_signer, letter_poses


def shapes(count):
    return hand_shape([MIDDLING] * count)


def posed(**angles):
    """(21, 3) joints of a flat hand with some angles changed."""
    pose = torch.zeros(1, len(ANGLES))
    for name, value in angles.items():
        pose[0, ANGLES.index(name)] = value
    return pose_hand(shapes(1), pose)[0][0]


def test_flat_hand_lies_in_its_frame():
    joints = posed().numpy()
    assert joints[0] == pytest.approx([0, 0, 0], abs=1e-6)
    assert 0.15 < joints[12, 1] < 0.22  # a hand's length
    assert joints[4, 0] > joints[8, 0] - 0.01 and joints[8, 0] > joints[20, 0]
    assert np.abs(joints[8:21, 2]).max() < 0.01


@pytest.mark.parametrize("finger, tip", [("index", 8), ("middle", 12), ("ring", 16), ("little", 20)])
def test_flexion_brings_the_tip_to_the_palm_side(finger, tip):
    flat, bent = posed(), posed(**{f"{finger}_mcp": 80.0})
    assert bent[tip, 2] - flat[tip, 2] > 0.03
    others = [k for k in range(21) if not tip - 3 < k <= tip]
    assert torch.allclose(bent[others], flat[others], atol=1e-6)


def test_spread_leans_to_the_thumb_side():
    assert posed(index_spread=10.0)[8, 0] - posed()[8, 0] > 0.008


def test_angles_do_what_they_say():
    joints = posed(index_pip=90.0)
    near, far = joints[6] - joints[5], joints[7] - joints[6]
    assert torch.rad2deg(torch.acos(near @ far / near.norm() / far.norm())) == pytest.approx(90, abs=0.5)


def test_bones_keep_their_length():
    poses = torch.tensor([LETTERS[letter].angles for letter in LETTERS], dtype=torch.float32)
    joints, _ = pose_hand(shapes(26), poses)
    for a, b in ((1, 2), (2, 3), (5, 6), (6, 7), (9, 10), (18, 19)):
        assert (joints[:, a] - joints[:, b]).norm(dim=-1).std() < 1e-6


def test_orientation_is_a_rotation_and_g_points_sideways():
    poses = torch.tensor(np.stack([letter_pose(x) for x in LETTERS]), dtype=torch.float32)
    turn = orientation(poses)
    assert torch.allclose(turn @ turn.transpose(1, 2), torch.eye(3).expand_as(turn), atol=1e-5)
    up = {letter: turn[k, :, 1] for k, letter in enumerate(LETTERS)}
    assert up["A"][1] > 0.95 and up["H"][0] < -0.9 and up["Q"][1] < -0.2


def test_bones_have_the_proportions_of_a_human_hand():
    joints = posed().numpy()

    def bone(a, b):
        return np.linalg.norm(joints[a] - joints[b])

    # Middle finger and thumb, lengths of bones in parts of the middle finger's first phalanx.
    assert bone(10, 11) / bone(9, 10) == pytest.approx(0.62, abs=0.06)
    assert bone(5, 6) / bone(9, 10) == pytest.approx(0.89, abs=0.06)
    assert bone(1, 2) / bone(9, 10) == pytest.approx(1.03, abs=0.08)


def test_mesh_is_closed_but_for_the_elbow():
    faces = hand_model().faces.numpy()
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    _, counts = np.unique(edges, axis=0, return_counts=True)
    assert (counts == 1).sum() == len(hand_model().loop) and counts.max() == 2


def test_people_differ_in_size():
    heights = np.full((2, 6), 0.5)
    heights[:, 4] = 0.05, 0.95
    big = hand_shape(heights)
    assert big.heads[1, 10].norm() > 1.03 * big.heads[0, 10].norm()


def test_tracker_points_stay_near_the_joints():
    joints = posed()[None]
    gap = (landmarks(joints) - joints).norm(dim=-1)[0]
    assert gap.max() < 0.016 and gap[[2, 6, 10]].max() == 0


@pytest.mark.slow
def test_no_finger_passes_through_another():
    letters, deep = list(LETTERS), []
    for number in range(4):
        person = draw_signer(0, number)
        shape = hand_shape([person.phenotype] * len(letters))
        poses = torch.as_tensor(letter_poses([person], letters)[0], dtype=torch.float32)
        deep.append(overlap(skin(shape, pose_hand(shape, poses)[1]).numpy()))
    # 2 mm is what a finger's pulp gives way; a few pairs of signer and letter keep a little more.
    deep = np.stack(deep)
    assert (deep < 0.002).mean() > 0.95
    assert deep.max() < 0.0035, letters[deep.max(0).argmax()]


@pytest.mark.slow
def test_overlap_is_measured_on_the_skin():
    pose = torch.tensor([OTHERS["open-five"].angles] * 2, dtype=torch.float32)
    pose[1, [ANGLES.index("index_spread"), ANGLES.index("middle_spread")]] = torch.tensor([-14.0, 12.0])
    apart, through = overlap(skin(shapes(2), pose_hand(shapes(2), pose)[1]).numpy())
    assert apart == 0 and through > 0.004


def test_settling_separates_crossed_fingers_and_leaves_open_hands_alone():
    pose = torch.tensor([OTHERS["open-five"].angles] * 2, dtype=torch.float32)
    pose[0, ANGLES.index("index_spread")], pose[0, ANGLES.index("middle_spread")] = -12, 12
    before = penetration(shapes(2), pose_hand(shapes(2), pose)[1]).amax(1)
    after_pose = settle(shapes(2), pose, steps=20)
    after = penetration(shapes(2), pose_hand(shapes(2), after_pose)[1]).amax(1)
    assert before[0] > 0.005 and after[0] < 0.001
    assert (after_pose[1] - pose[1]).abs().max() < 0.5


def test_settled_poses_stay_within_human_limits():
    pose = torch.tensor([LETTERS["E"].angles] * 2, dtype=torch.float32)
    pose[:, ANGLES.index("index_pip")] = 120.0  # as far as it goes
    pose[0, [ANGLES.index("index_mcp"), ANGLES.index("middle_mcp")]] = 99.0
    for letters in (None, ["E", "E"]):
        settled = settle(shapes(2), pose, letters, steps=20).numpy()
        assert (settled != pose.numpy()).any() and (settled == np.clip(settled, LOWEST, HIGHEST)).all()


def test_segment_distance():
    a, b = torch.tensor([[0.0, 0, 0]]), torch.tensor([[1.0, 0, 0]])
    c, d = torch.tensor([[0.5, 0.2, 1]]), torch.tensor([[0.5, 0.2, -1]])
    assert segment_distance(a, b, c, d).item() == pytest.approx(0.2, abs=1e-4)
    assert segment_distance(a, b, b + b, b + b + b).item() == pytest.approx(1.0, abs=1e-4)
