"""Words: complete the word that is being spelled, and correct a finished word."""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import islice

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from asllib.errors import InputError
from asllib.letters import LETTERS

SIZE = 50_000
# Chosen on practice words of signers who are in no test: the most corrections without more changes to right words that
# are not in the lexicon.
PRIOR_WEIGHT = 0.7  # of a word's frequency against the network's probabilities
UNKNOWN = 1e-12  # assumed frequency of words that are not in the lexicon, such as names
LETTER_COST = 5.0  # negative log-probability of a wrong letter, if only the letters are known


class Lexicon:
    """The most frequent English words, from the package wordfreq; correction never changes your own ``names``.

    Examples
    --------
    >>> lexicon = Lexicon(size=5000)
    >>> lexicon.complete("HEL", 2)
    ('HELP', 'HELD')
    >>> lexicon.correct("BECAUSR")
    'BECAUSE'
    """

    def __init__(self, size: int = SIZE, names: Iterable[str] = ()) -> None:
        if size < 1:
            raise InputError(f"size={size}: a lexicon has at least one word")
        self._frequency = _frequencies(size)  # the most frequent first
        self._names = {name.upper() for name in check_names(names)}

    def complete(self, start: str, count: int = 3) -> tuple[str, ...]:
        """The most frequent longer words that begin with the letters spelled so far."""
        start = start.upper()
        found = (word for word in self._frequency if start and word.startswith(start) and word != start)
        return tuple(islice(found, count))

    def correct(self, word: str, log_probabilities: np.ndarray | None = None) -> str:
        """The word that was most likely meant by the letters that were read.

        An unknown name may change: correct words only if the user asks for it. A candidate is weighed by how well it
        explains ``log_probabilities`` (T, 27), the network's answers at each moment, or by the number of wrong letters.
        """
        word = word.upper()
        if not word or word in self._names or not set(word) <= set(LETTERS):  # added signs are no letters
            return word
        most = 1 if len(word) <= 2 else 2 if len(word) == 3 else 3 if len(word) <= 6 else 4  # letters that differ
        near = process.extract(word, [*self._frequency], scorer=Levenshtein.distance, score_cutoff=most, limit=None)
        near.sort(key=lambda found: LETTER_COST * found[1] - math.log(self._frequency[found[0]]))
        distances = {word: 0.0} | {found[0]: found[1] for found in near[:400]}  # similar and frequent words first
        candidates = list(distances)
        prior = np.array([math.log(self._frequency.get(candidate, UNKNOWN)) for candidate in candidates])
        if log_probabilities is None:
            fit = -LETTER_COST * np.array(list(distances.values()))
        else:
            fit = word_scores(log_probabilities, candidates)
        return candidates[int(np.argmax(fit + PRIOR_WEIGHT * prior))]


def check_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names as a tuple; InputError if they are a single text, whose letters would count as names."""
    listed = names if isinstance(names, str) else tuple(names)
    if isinstance(listed, str) or not all(isinstance(name, str) for name in listed):
        raise InputError(f"names={names!r}: give a list of words")
    return listed


def word_scores(log_probabilities: np.ndarray, words: Sequence[str]) -> np.ndarray:
    """Logarithm of the probability (N,) that moments (T, 1 + letters) spell each word, over all alignments (CTC)."""
    import torch
    import torch.nn.functional as F

    table = torch.from_numpy(np.ascontiguousarray(log_probabilities, np.float32))[:, None].expand(-1, len(words), -1)
    numbers = [torch.tensor([1 + LETTERS.index(letter) for letter in word]) for word in words]
    lengths = torch.full((len(words),), len(log_probabilities)), torch.tensor([len(word) for word in words])
    return -F.ctc_loss(table, torch.cat(numbers), *lengths, reduction="none").numpy()


@lru_cache(maxsize=4)
def _frequencies(size: int) -> dict[str, float]:
    """The most frequent words of letters A-Z alone, with their frequencies; of single letters only A and I."""
    from wordfreq import top_n_list, word_frequency

    words = (word for word in top_n_list("en", size * 2) if word.isascii() and word.isalpha())
    known = islice((word for word in words if len(word) > 1 or word in "ai"), size)
    return {word.upper(): word_frequency(word, "en") for word in known}
