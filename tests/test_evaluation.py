import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asllib.errors import InputError
from asllib.evaluation import (
    NO_HAND,
    accuracy_interval,
    confusion,
    read_letters,
    report,
    worst_pairs,
)
from asllib.letters import STATIC


def hits(right: int, n: int) -> np.ndarray:
    return np.arange(n) < right


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe, "Two-sided confidence intervals for the single proportion", 1998
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (7172, 7172, 0.99946, 1.0),
    ],
)
def test_wilson_intervals_of_the_literature(right, n, low, high):
    assert accuracy_interval(hits(right, n)) == pytest.approx((low, high), abs=6e-5)


def test_nothing_measured_may_be_anything():
    assert accuracy_interval(np.zeros(0, bool)) == (0.0, 1.0)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 200), st.data())
def test_an_interval_holds_the_accuracy_and_narrows_with_more_data(n, data):
    right = data.draw(st.integers(0, n))
    low, high = accuracy_interval(hits(right, n))
    assert 0 <= low <= right / n + 1e-9 and right / n - 1e-9 <= high <= 1
    more = accuracy_interval(hits(4 * right, 4 * n))
    assert more[1] - more[0] < high - low


def test_groups_of_one_share_do_not_make_an_interval_of_no_width():
    for right, people in ((np.tile([1, 1, 1, 0], 5), 5), (np.tile([1] * 9 + [0], 2), 2)):
        low, high = accuracy_interval(right.astype(bool), np.repeat(np.arange(people), len(right) // people))
        share = right.mean()
        assert low < share - 0.1 and high > share + 0.05
        assert (low, high) == pytest.approx(proportion(share, people))


def proportion(share, n):
    """Wilson's interval as its formula stands in textbooks."""
    z = 1.959964
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return ((share + z**2 / (2 * n) - half) / (1 + z**2 / n), (share + z**2 / (2 * n) + half) / (1 + z**2 / n))


def test_groups_of_one_give_the_usual_interval():
    right = np.random.default_rng(0).permutation(hits(320, 400))
    low, high = accuracy_interval(right, np.arange(400).astype(str))
    half = 1.96 * np.sqrt(0.8 * 0.2 / 400)
    assert (low, high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.006)


def test_copies_of_a_photo_do_not_narrow_the_interval():
    single = np.random.default_rng(0).permutation(hits(160, 200))
    copies, groups = np.repeat(single, 9), np.repeat(np.arange(200), 9)
    alone = accuracy_interval(single, np.arange(200))
    assert accuracy_interval(copies, groups) == pytest.approx(alone, abs=0.01)
    naive = accuracy_interval(copies)
    assert naive[1] - naive[0] < 0.5 * (alone[1] - alone[0])


def test_the_bootstrap_repeats_and_falls_back_to_wilson():
    right, groups = hits(30, 40), np.arange(40) // 4
    assert accuracy_interval(right, groups) == accuracy_interval(right, groups)
    # Where nothing can be drawn, ten groups of four are ten answers, not forty; one group tells next to nothing.
    assert accuracy_interval(hits(40, 40), groups) == accuracy_interval(hits(10, 10))
    assert accuracy_interval(hits(40, 40), groups)[0] == pytest.approx(0.722, abs=1e-3)
    low, high = accuracy_interval(right, np.zeros(40))
    assert low < 0.15 and high > 0.98


@pytest.mark.parametrize("alphabet", ["ABC", ("A", "B", "C")])
def test_the_most_likely_letter_is_read_and_zeros_are_no_hand(alphabet):
    probabilities = np.array([[0.1, 0.7, 0.2], [0, 0, 0], [0.2, 0.2, 0.6]], np.float32)
    assert read_letters(probabilities, alphabet).tolist() == ["B", NO_HAND, "C"]


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "label": ["A", "A", "B", "B", "B", "C"],
            "source": ["x", "x", "x", "y", "y", "y"],
            "signer": ["1", "2", "1", "1", "1", "1"],
            "original": list("pqrpqr"),
        }
    )


def sure_of(read) -> np.ndarray:
    """Probabilities of a network of A, B, C that is sure of what it reads; 0 without a hand."""
    return (np.array(list(read))[:, None] == np.array(list("ABC"))).astype(np.float32)


def test_a_report_counts_a_photo_without_a_hand_as_wrong(table):
    found = report(table, sure_of("A-BBCC"), "ABC")
    assert list(found) == [
        "n", "hand_found", "accuracy", "interval", "by_letter", "by_source", "by_signer", "refused", "accuracy_said",
    ]  # fmt: skip
    assert (found["n"], found["refused"], found["accuracy_said"]) == (6, 0.0, pytest.approx(4 / 5))
    assert found["hand_found"] == pytest.approx(5 / 6) and found["accuracy"] == pytest.approx(4 / 6)
    assert found["by_letter"] == pytest.approx({"A": 0.5, "B": 2 / 3, "C": 1.0})
    assert found["by_source"] == pytest.approx({"x": 2 / 3, "y": 2 / 3})
    assert found["by_signer"] == pytest.approx({"x/1": 1.0, "x/2": 0.0, "y/1": 2 / 3})
    low, high = found["interval"]
    assert low < 4 / 6 < high


def test_an_interval_counts_people_where_they_are_known(table):
    """Twenty signers of whom half are read, in twenty photos each, are twenty answers and not four hundred."""
    signers = np.repeat(np.arange(20), 20).astype(str)
    columns = {"label": "A", "source": "x", "signer": signers, "original": np.arange(400).astype(str)}
    read = np.where(signers.astype(int) < 10, "A", "B")
    low, high = report(pd.DataFrame(columns), sure_of(read), "ABC")["interval"]
    assert low < 0.35 and high > 0.65
    low, high = report(pd.DataFrame(columns | {"signer": "unknown"}), sure_of(read), "ABC")["interval"]
    assert low > 0.44 and high < 0.56


def test_refusals_are_hands_without_a_letter_for_sure_and_the_rest_is_counted_alone():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.45, 0.55], [0, 0]], np.float32)  # the last shows no hand
    table = pd.DataFrame({"label": list("AAAA"), "source": "x", "signer": "1", "original": list("pqrs")})
    for below, refused, accuracy in ((0.0, 0.0, pytest.approx(2 / 3)), (0.58, 0.25, 1.0), (1.0, 0.75, None)):
        found = report(table, probabilities, "AB", below)
        assert (found["refused"], found["accuracy_said"]) == (refused, accuracy)


def test_photos_of_one_name_in_two_sources_are_two_photos(table):
    """Were they one, three groups of which each is half right would give no interval at all."""
    low, high = report(table, sure_of("AAB---"), "ABC")["interval"]
    assert low < 0.25 and high > 0.75


def test_confusion_counts_truth_by_row_and_no_hand_in_the_last_column():
    matrix = confusion(np.array(list("AABBC")), np.array(["A", "B", "B", NO_HAND, "Y"]), "ABC")
    assert matrix.tolist() == [[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]]
    with pytest.raises(InputError, match="Y: not in the alphabet ABC"):
        confusion(np.array(list("AY")), np.array(list("AA")), "ABC")


def test_worst_pairs_add_both_directions():
    matrix = np.zeros((4, 5), int)
    matrix[[0, 1, 2, 3], [0, 1, 2, 3]] = 10
    matrix[0, 1], matrix[1, 0], matrix[2, 3], matrix[3, 4] = 3, 2, 4, 9
    pairs = worst_pairs(matrix, "MNST")
    assert [set(pair.split("/")) for pair in pairs["pair"]] == [{"M", "N"}, {"S", "T"}]
    assert pairs["errors"].tolist() == [5, 4]
    assert pairs["share"].tolist() == pytest.approx([5 / 25, 4 / 33])
    assert len(worst_pairs(matrix, "MNST", most=1)) == 1
    assert worst_pairs(np.diag([3, 3])[:, [0, 1]], "AB").empty


def test_as_many_worst_pairs_as_there_are_errors(rng):
    truth, read = (np.array(STATIC)[rng.integers(0, 24, 500)] for _ in range(2))
    matrix = confusion(truth, read, STATIC)
    assert matrix.sum() == 500
    assert worst_pairs(matrix, STATIC, most=1000)["errors"].sum() == (truth != read).sum()
