import numpy as np
import pytest
from wordfreq import word_frequency

from asllib.errors import InputError
from asllib.letters import LETTERS
from asllib.read.lexicon import Lexicon, word_scores


@pytest.fixture(scope="module")
def lexicon():
    return Lexicon(20_000, names=("JHON", "Zbigniew"))


def test_completion_is_by_frequency(lexicon):
    words = lexicon.complete("HEL", 3)
    assert len(words) == 3 and all(word.startswith("HEL") and word != "HEL" for word in words)
    shares = [word_frequency(word, "en") for word in words]
    assert shares == sorted(shares, reverse=True)
    assert lexicon.complete("") == () and lexicon.complete("QQQ") == ()


def test_a_whole_word_is_no_completion_of_itself(lexicon):
    assert "HELP" in lexicon.complete("HEL") and "HELP" not in lexicon.complete("HELP")


def test_signs_of_ones_own_are_no_letters_to_be_mended(lexicon):
    assert [lexicon.correct(sign) for sign in ("5", "É", "MY SIGN")] == ["5", "É", "MY SIGN"]


def test_wrong_letters_are_mended(lexicon):
    assert lexicon.correct("BECAUSR") == "BECAUSE"
    assert lexicon.correct("GOVERMNENT") == "GOVERNMENT"
    assert lexicon.correct("BECAUSE") == "BECAUSE"


def test_names_are_left_alone(lexicon):
    assert lexicon.correct("JHON") == "JHON" and lexicon.correct("zbigniew") == "ZBIGNIEW"
    assert lexicon.correct("XQZVKWJ") == "XQZVKWJ"


def spelled(word: str, sure: float = 0.9) -> np.ndarray:
    rows = []
    for letter in word:
        for which in (0, 1 + LETTERS.index(letter)):
            row = np.full(27, (1 - sure) / 26)
            row[which] = sure
            rows += [row, row]
    return np.log(np.array(rows))


def test_what_was_seen_decides_between_words(lexicon):
    scores = word_scores(spelled("HELD"), ["HELP", "HELD", "HELL"])
    assert scores.argmax() == 1 and (scores < 0).all()
    assert lexicon.correct("HELP", spelled("HELD", 0.99)) == "HELD"


def test_no_words_is_refused():
    with pytest.raises(InputError, match="size=0"):
        Lexicon(0)
