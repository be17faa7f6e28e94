from pathlib import Path

import numpy as np
import pytest
import torch
from asllib.signer.contact import penetration, segment_distance, settle

from asllib.signer.alphabet import ANGLES, LETTERS, OTHERS, clip_to_limits
from asllib.signer.hand import hand_shape, pose_hand
from asllib.signer.scene import draw_signer, letter_poses


def shapes(count):
    return hand_shape(np.full((1, 6), 0.5)).take([0] * count)


@pytest.fixture
def overlap(monkeypatch):
    """What the benchmark of the signer measures on the mesh."""
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "benchmarks")
    from overlap import overlap

    return overlap


@pytest.mark.slow
def test_no_finger_passes_through_another(overlap):
    letters, deep = list(LETTERS), []
    for number in range(4):
        person = draw_signer(0, number)
        shape = hand_shape(np.array([person.phenotype])).take([0] * len(letters))
        poses = torch.as_tensor(letter_poses([person], letters)[0], dtype=torch.float32)
        deep.append(overlap(pose_hand(shape, poses).vertices.numpy()))
    # 2 mm is what a finger's pulp gives way; a few pairs of signer and letter keep a little more.
    deep = np.stack(deep)
    assert (deep < 0.002).mean() > 0.95
    assert deep.max() < 0.0035, letters[deep.max(0).argmax()]


def test_overlap_is_measured_on_the_skin(overlap):
    pose = torch.tensor([OTHERS["open-five"].angles] * 2, dtype=torch.float32)
    pose[1, [ANGLES.index("index_spread"), ANGLES.index("middle_spread")]] = torch.tensor([-14.0, 12.0])
    apart, through = overlap(pose_hand(shapes(2), pose).vertices.numpy())
    assert apart == 0 and through > 0.004


def test_settling_separates_crossed_fingers_and_leaves_open_hands_alone():
    pose = torch.tensor([OTHERS["open-five"].angles] * 2, dtype=torch.float32)
    pose[0, ANGLES.index("index_spread")], pose[0, ANGLES.index("middle_spread")] = -12, 12
    before = penetration(shapes(2), pose_hand(shapes(2), pose, skin=False)).amax(1)
    after_pose = settle(shapes(2), pose, steps=20)
    after = penetration(shapes(2), pose_hand(shapes(2), after_pose, skin=False)).amax(1)
    assert before[0] > 0.005 and after[0] < 0.001
    assert (after_pose[1] - pose[1]).abs().max() < 0.5


def test_settled_poses_stay_within_human_limits():
    pose = torch.tensor([LETTERS["E"].angles] * 2, dtype=torch.float32)
    pose[:, ANGLES.index("index_pip")] = 120.0  # as far as it goes
    pose[0, [ANGLES.index("index_mcp"), ANGLES.index("middle_mcp")]] = 99.0
    for letters in (None, ["E", "E"]):
        settled = settle(shapes(2), pose, letters, steps=20).numpy()
        assert (settled != pose.numpy()).any() and (settled == clip_to_limits(settled)).all()


def test_segment_distance():
    a, b = torch.tensor([[0.0, 0, 0]]), torch.tensor([[1.0, 0, 0]])
    c, d = torch.tensor([[0.5, 0.2, 1]]), torch.tensor([[0.5, 0.2, -1]])
    assert segment_distance(a, b, c, d).item() == pytest.approx(0.2, abs=1e-4)
    assert segment_distance(a, b, b + b, b + b + b).item() == pytest.approx(1.0, abs=1e-4)
