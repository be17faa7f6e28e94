import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from asllib.data.audit import audit, foreign_classes, near_duplicate_groups, thumbnails
from asllib.hands.landmarks import image_columns, world_columns
from asllib.letters import STATIC


def copies_of(images: np.ndarray, rng) -> dict[str, np.ndarray]:
    """The images relit and with noise, as augmented sets have them."""
    floats = images.astype(float)
    changed = {
        "brighter": floats + 30,
        "darker": floats - 20,
        "less contrast": 0.6 * (floats - 128) + 128,
        "noise": floats + rng.normal(0, 6, images.shape),
        "all": 0.8 * floats + 25 + rng.normal(0, 4, images.shape),
    }
    return {name: np.clip(copy, 0, 255).astype(np.uint8) for name, copy in changed.items()}


def test_changed_copies_are_grouped_and_different_images_are_not(blobs, rng):
    images = blobs(40)
    copies = copies_of(images, rng)
    group = near_duplicate_groups(thumbnails(np.concatenate([images, *copies.values()])))
    assert len(set(group[:40])) == 40
    for number, name in enumerate(copies, 1):
        assert (group[40 * number : 40 * (number + 1)] == group[:40]).all(), name


def test_groups_do_not_depend_on_the_chunk_nor_on_the_order(blobs, rng):
    images = blobs(30)
    thumbs = thumbnails(np.concatenate([images, copies_of(images, rng)["noise"]]))
    whole, parts = near_duplicate_groups(thumbs), near_duplicate_groups(thumbs, chunk=7)
    np.testing.assert_array_equal(whole, parts)
    order = rng.permutation(60)
    shuffled = near_duplicate_groups(thumbs[order])
    assert ((shuffled[:, None] == shuffled) == (whole[order][:, None] == whole[order])).all()


def test_thumbnails_take_colour_and_grey(blobs):
    grey = blobs(3, side=64)
    assert thumbnails(grey).shape == (3, 14, 14)
    np.testing.assert_allclose(thumbnails(np.stack([grey] * 3, -1)), thumbnails(grey), atol=1)


def test_counts_and_balance(letter_set):
    found = audit(letter_set(["B"] * 2 + ["A"] * 6 + ["J"] * 3 + ["space"]))
    assert found.rows == 12
    assert list(found.counts.items()) == [("A", 6), ("B", 2), ("J", 3), ("space", 1)]
    assert found.missing == STATIC[2:] and found.unexpected == ("J", "space")
    assert found.imbalance == 6
    assert found.value_range == (0, 255)
    assert (found.exact, found.near, found.originals, found.conflicts) == (0, 0, 12, 0)
    assert found.foreign == () and found.agreement == {}
    assert found.tight is None and found.no_hand is None


def test_duplicates_within_and_across_splits(letter_set, blobs):
    base = blobs(10)
    images = np.concatenate([base, base[:3], np.clip(base[3:5] * 0.9 + 10, 0, 255).astype(np.uint8)])
    labels = ["A"] * 10 + ["A", "A", "B"] + ["A", "A"]
    parts = ["train"] * 10 + ["test"] * 5
    found = audit(letter_set(labels, images, split=parts))
    assert found.exact == 6  # three images, each twice
    assert found.conflicts == 2  # the third pair: once A, once B
    assert found.near == 10 and found.originals == 10
    assert found.across == {"test in train": 1.0} and found.least_shared == {"test in train": 1}
    half = audit(
        letter_set(["A"] * 12, np.concatenate([base, base[:1], blobs(1, seed=5)]), split=["train"] * 10 + ["test"] * 2)
    )
    assert half.across == {"test in train": 0.5}


def test_every_part_is_compared_with_those_before_it(letter_set, blobs):
    images = blobs(4)[[0, 1, 0, 2, 0, 3]]
    found = audit(letter_set(["A"] * 6, images, split=["train"] * 2 + ["valid"] * 2 + ["test"] * 2))
    assert found.across == {"valid in train": 0.5, "test in train": 0.5, "test in valid": 0.5}


def test_photos_that_look_alike_are_told_from_copies_of_one(letter_set, blobs, rng):
    """Two photos alike, each with all its copies in one part; then one photo whose copies are dealt out."""
    noise = rng.normal(0, 4, (6, 6, 28, 28))
    copies = np.clip(blobs(6)[:, None] * 1.0 + noise, 0, 255).astype(np.uint8)  # 6 photos x 6 copies
    copies[5] = np.clip(copies[4] * 0.9 + 8, 0, 255).astype(np.uint8)
    images = copies.reshape(-1, 28, 28)
    whole = ["train"] * 30 + ["test"] * 6
    found = audit(letter_set(["A"] * 36, images, split=whole))
    assert (found.copies, found.originals) == (6, 6)  # in 5 groups
    assert found.across == {"test in train": 1.0} and found.least_shared == {"test in train": 6}
    assert any("at least 6 images on either" in line for line in found.lines())
    dealt = audit(letter_set(["A"] * 36, images, split=["train"] * 5 + ["test"] + ["train"] * 30))
    assert dealt.across == {"test in train": 1.0} and dealt.least_shared == {"test in train": 1}
    apart = audit(letter_set(["A"] * 24, images[:24], split=["train"] * 18 + ["test"] * 6))
    assert apart.across == {"test in train": 0.0} and apart.least_shared == {}


def test_a_class_swapped_for_another_looks_foreign(letter_set, rng):
    truth = np.repeat(np.array(STATIC), 20)
    read = np.where(rng.random(480) < 0.9, truth, "S")
    assert audit(letter_set(truth), read).foreign == ()
    labels = truth.copy()
    labels[truth == "M"], labels[truth == "P"] = "P", "M"
    found = audit(letter_set(labels), read)
    assert found.foreign == ("M", "P")
    assert found.agreement["M"] == 0 and found.agreement["A"] == pytest.approx(0.9, abs=0.2)
    assert "M (0% read as it), P (0% read as it)" in "\n".join(found.lines())


def test_foreign_is_relative_to_the_other_classes():
    assert foreign_classes({"A": 0.4, "B": 0.42, "C": 0.3}) == ()
    assert foreign_classes({"A": 0.9, "B": 0.92, "C": 0.3}) == ("C",)
    assert foreign_classes({}) == ()


def test_a_photo_without_a_hand_counts_as_not_read(letter_set):
    found = audit(letter_set(["A"] * 4 + ["B"] * 4), ["A", None, "", "-"] + ["B"] * 4)
    assert found.agreement == {"A": 0.25, "B": 1.0}


def test_what_the_tracker_made_of_photos(letter_set):
    photos = [np.full((h, w, 3), 90, np.uint8) for h, w in ((95, 300), (96, 96), (64, 64), (480, 640))]
    landmarks = pd.DataFrame(0.5, index=range(4), columns=[*image_columns(), *world_columns()])
    landmarks = landmarks.assign(side="right", score=[0.9, 0.8, 0.0, 0.9])
    landmarks.loc[3, "x8"] = 0.995
    found = audit(letter_set(["A"] * 4, photos), landmarks=landmarks)
    assert (found.tight, found.no_hand) == (1, 1)
    assert found.value_range == (90, 90)
    assert len(found.lines()) == 8


def test_the_report_has_a_line_a_finding(letter_set, blobs):
    lines = audit(letter_set(["A", "B"], blobs(2), split=["train", "test"])).lines()
    assert lines[0] == "made: 2 images, 2 signs"
    assert any(line == "near duplicates across splits: 0.0% of test in train" for line in lines)
    assert all("\n" not in line for line in lines)


def test_the_official_split_has_near_duplicates_across(real_data):
    from asllib.data import load_sign_mnist

    letters = load_sign_mnist(real_data / "sign-mnist")
    some = letters.subset(np.arange(0, len(letters), 8))
    found = audit(some)
    assert found.missing == () and found.unexpected == ()
    assert found.across["test in train"] > 0.1
    assert found.originals < 0.95 * len(some)


def test_the_official_split_deals_out_whole_photos(real_data):
    from asllib.data import load_sign_mnist

    found = audit(load_sign_mnist(real_data / "sign-mnist").only(("A", "H", "V")))
    assert 20 <= found.copies <= 21 and found.originals == 3 * 70
    assert found.across["test in train"] > 0.05 and found.least_shared["test in train"] >= 17


@pytest.mark.slow
def test_memory_does_not_grow_with_the_square_of_the_images_that_are_alike():
    """5,000 alike are 25 million pairs, 2 GB if all are kept."""
    code = """
import resource
import numpy as np, scipy.sparse.csgraph, torch
from asllib.data.audit import near_duplicate_groups

peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rng = np.random.default_rng(0)
thumbs = (rng.normal(size=(1, 14, 14)) + 0.01 * rng.normal(size=(5000, 14, 14))).astype(np.float32)
before = peak()
assert not near_duplicate_groups(thumbs).any()
print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 500_000  # kilobytes
