import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asllib.data import leave_one_out, leave_people_out, split
from asllib.data.splits import groups
from asllib.errors import InputError
from asllib.letters import STATIC

SHARES = {"train": 0.6, "valid": 0.3, "test": 0.1}


def shares(part: np.ndarray) -> dict[str, float]:
    return {name: float((part == name).mean()) for name in SHARES}


@pytest.fixture
def crowd(letter_set):
    """24 letters of 4 sources with 6 signers each, every photo in 3 copies: 1,728 images."""
    n = 24 * 4 * 6 * 3
    i = np.arange(n)
    source = np.array(["s0", "s1", "s2", "s3"])[i // 3 // 24 % 4]
    signer = np.array([f"p{k}" for k in i // 3 // 96])  # the same names in every source
    original = np.array([f"photo{k}" for k in i // 3])
    images = np.zeros((n, 28, 28), np.uint8)
    return letter_set(np.array(STATIC)[i // 3 % 24], images, source=source, signer=signer, original=original)


def test_image_by_image_every_letter_is_split_60_30_10(crowd):
    part = split(crowd)
    assert shares(part) == pytest.approx(SHARES, abs=0.01)
    for letter in STATIC:
        assert shares(part[crowd.letters == letter]) == pytest.approx(SHARES, abs=0.02)


def test_the_seed_decides(crowd):
    assert (split(crowd, seed=1) == split(crowd, seed=1)).all()
    assert (split(crowd, seed=1) != split(crowd, seed=2)).mean() > 0.3


@pytest.mark.parametrize(("by", "off"), [("original", 0.01), ("signer", 0.1)])
def test_a_grouped_split_shares_no_group(crowd, by, off):
    part, keys = split(crowd, by), groups(crowd, by)
    seen = [set(keys[part == name]) for name in SHARES]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
    assert shares(part) == pytest.approx(SHARES, abs=off)
    assert set(crowd.letters[part == "train"]) == set(STATIC)
    if by == "original":
        for letter in STATIC:
            assert shares(part[crowd.letters == letter])["train"] == pytest.approx(0.6, abs=0.1)


@pytest.mark.filterwarnings("ignore:The least populated class")
@settings(max_examples=30, deadline=None)
@given(data=st.data(), n_groups=st.integers(10, 40), n_letters=st.integers(2, 6), seed=st.integers(0, 99))
@pytest.mark.slow
def test_no_grouped_split_ever_leaks(data, n_groups, n_letters, seed):
    sizes = data.draw(st.lists(st.integers(1, 12), min_size=n_groups, max_size=n_groups))
    group = np.repeat(np.arange(n_groups), sizes).astype(str)
    letters = np.random.default_rng(seed).choice(list(STATIC[:n_letters]), len(group))
    if np.unique(letters, return_counts=True)[1].max() < 10:
        return
    part = split(SimpleNamespace(letters=letters), group, seed)
    assert set(part) <= set(SHARES)
    for name in set(group):
        assert len(set(part[group == name])) == 1


def test_groups_count_within_their_source(crowd):
    assert len(set(groups(crowd, "source"))) == 4
    assert len(set(groups(crowd, "signer"))) == 24
    assert len(set(groups(crowd, "original"))) == 576
    with pytest.raises(InputError, match="cannot split by 'file'"):
        groups(crowd, "file")


def test_leave_one_out_takes_each_signer_and_source_once(crowd):
    for by, n in (("source", 4), ("signer", 24)):
        left = dict(leave_one_out(crowd, by))
        assert len(left) == n
        assert np.sum(list(left.values()), axis=0).tolist() == [1] * len(crowd)
    assert set(crowd.table["source"][left["s2/p4"]]) == {"s2"}
    assert set(crowd.table["signer"][left["s2/p4"]]) == {"p4"}


def test_people_are_left_out_by_source_else_by_signer_in_five_parts_at_most(letter_set):
    def parts(source, signer):
        letters = letter_set(["A"] * len(source))
        letters = dataclasses.replace(letters, table=letters.table.assign(source=source, signer=signer))
        return {name: where.tolist() for name, where in leave_people_out(letters)}

    assert parts(list("xxyz"), list("1234")) == {
        "x": [True, True, False, False], "y": [False, False, True, False], "z": [False, False, False, True],
    }  # fmt: skip
    assert parts(list("xx"), list("12")) == {"x/1": [True, False], "x/2": [False, True]}
    crowd = parts(["x"] * 14, [f"{n:02}" for n in np.arange(14) // 2])  # seven signers
    folds = np.array(list(crowd.values()))
    assert folds.shape == (5, 14) and (folds.sum(0) == 1).all() and (folds[:, ::2] == folds[:, 1::2]).all()
    assert list(crowd) == [f"signers, part {n} of 5" for n in (1, 2, 3, 4, 5)]
    assert parts(["x"] * 3, ["1"] * 3) == {}


@pytest.mark.parametrize("seed", [0, 1])
def test_too_few_for_60_30_10_is_said_in_one_line(letter_set, static_letters, seed):
    few = letter_set(static_letters(24 * 9))
    with pytest.raises(InputError, match="only 9 images of a letter"):
        split(few, seed=seed)
    with pytest.raises(InputError, match="only 1 groups"):
        split(few, "signer", seed)
    with pytest.raises(InputError, match="at most 9 images of a letter"):
        split(few, "original", seed)


@pytest.mark.slow
def test_no_original_of_the_real_photos_is_in_two_parts(real_data):
    from asllib.data import load_photos

    photos = load_photos(real_data / "photos").only()
    part, keys = split(photos, "original"), groups(photos, "original")
    assert shares(part) == pytest.approx(SHARES, abs=0.01)
    for first, second in (("train", "valid"), ("train", "test"), ("valid", "test")):
        assert not set(keys[part == first]) & set(keys[part == second])
