import numpy as np
import pytest

from asllib.signer.alphabet import (
    ANGLES,
    HIGHEST,
    LETTERS,
    LOWEST,
    OTHERS,
    POSES,
    STYLES,
    draw_habit,
    draw_styles,
    letter_pose,
)


def test_all_letters_are_there_and_described():
    assert "".join(LETTERS) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for shape in [*LETTERS.values(), *OTHERS.values()]:
        assert len(shape.angles) == len(ANGLES) == 27
        assert shape.words.endswith(".")


@pytest.mark.parametrize("name", [*LETTERS, *OTHERS])
def test_joints_stay_within_human_limits(name):
    for inward in (0.0, 1.0):
        for edge in (0.0, 0.6, 1.0):
            pose = letter_pose(name, inward, edge)
            assert (np.clip(pose, LOWEST, HIGHEST) == pose).all()


@pytest.mark.parametrize("name", STYLES)
def test_a_style_stays_within_human_limits_and_is_another_handshape(name):
    letter, style = name[0], STYLES[name]
    assert style.words.endswith(".") and 0 < style.share < 1
    for inward in (0.0, 1.0):
        pose = letter_pose(letter, inward, style=name)
        assert (np.clip(pose, LOWEST, HIGHEST) == pose).all()
    gaps = [np.abs(POSES[name] - pose).max() for other, pose in POSES.items() if other[0] == letter and other != name]
    assert min(gaps) >= 5


def test_signers_have_each_style_as_often_as_its_share_says():
    drawn = [draw_styles(np.random.default_rng([7, k])) for k in range(1000)]
    assert drawn[3] == draw_styles(np.random.default_rng([7, 3]))
    for letter in sorted({name[0] for name in STYLES}):
        shares = {name: style.share for name, style in STYLES.items() if name[0] == letter}
        assert sum(shares.values()) < 1  # some make the letter as in the table
        for name, share in shares.items():
            assert np.mean([styles.get(letter) == name for styles in drawn]) == pytest.approx(share, abs=0.05)


def test_a_joint_beyond_its_limit_is_clipped():
    pose = letter_pose("B")
    pose[ANGLES.index("index_pip")] = 150
    clipped = np.clip(pose, LOWEST, HIGHEST)
    assert clipped[ANGLES.index("index_pip")] == 120 and (clipped != pose).sum() == 1


def test_letters_differ_from_each_other():
    poses = np.stack([letter_pose(letter) for letter in LETTERS])
    gaps = np.abs(poses[:, None] - poses[None]).max(-1) + 1000 * np.eye(26)
    assert gaps.min() >= 10


def test_side_letters_turn_with_the_signer():
    turn = ANGLES.index("turn")
    for letter in "GHPQ":
        assert letter_pose(letter, inward=1.0)[turn] - letter_pose(letter, inward=0.0)[turn] > 80
    assert (letter_pose("A", inward=1.0) == letter_pose("A", inward=0.0)).all()


def test_habits_are_small_and_seeded():
    habits = np.stack([draw_habit(np.random.default_rng(k)) for k in range(200)])
    assert (habits[0] == draw_habit(np.random.default_rng(0))).all()
    assert np.abs(habits.mean(0)).max() < 2
    assert 1 < habits.std(0).min() < habits.std(0).max() < 9
