import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asllib.errors import InputError
from asllib.letters import FIRST_SIX, LETTERS, MOVING, STATIC, encode, letters_of_25


def test_24_still_letters_are_all_but_j_and_z():
    assert "".join(STATIC) == "ABCDEFGHIKLMNOPQRSTUVWXY"
    assert set(LETTERS) - set(STATIC) == set(MOVING) == {"J", "Z"}
    assert "".join(FIRST_SIX) == "ABCDEF"


def test_the_25_classes_become_24_without_a_gap():
    labels = np.array([n for n in range(25) if n != 9])
    letters = letters_of_25(labels)
    assert "Z" not in letters and "J" not in letters
    assert encode(letters).tolist() == list(range(24))
    assert letters_of_25(np.array([8, 10, 24])).tolist() == ["I", "K", "Y"]
    assert encode(["I", "K", "Y"]).tolist() == [8, 9, 23]


@given(st.lists(st.sampled_from(STATIC)))
def test_encoding_is_undone_by_the_alphabet(letters):
    labels = encode(letters)
    assert labels.dtype == np.int64
    assert [STATIC[label] for label in labels] == letters


@pytest.mark.parametrize("foreign", ["J", "Z", "a", "space", ""])
def test_a_sign_outside_the_alphabet_is_refused(foreign):
    with pytest.raises(InputError, match="not in the alphabet ABC") as error:
        encode(["A", foreign, "B"])
    assert str(error.value).startswith(foreign) and "\n" not in str(error.value)


def test_the_alphabet_decides():
    assert encode(["J", "Z"], LETTERS).tolist() == [9, 25]
    with pytest.raises(InputError, match=r"^G, H: not"):
        encode("HAG", FIRST_SIX)
