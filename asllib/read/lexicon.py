"""Words: completing the one that is being spelled, and correcting one that is done."""

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
# Chosen on practice words of signers that are in no test: what mends most of those that change no more of the words
# that were read right and are not in the lexicon.
PRIOR_WEIGHT = 0.7  # of a word's frequency against what was seen
UNKNOWN = 1e-12  # the frequency of a word that is not in the lexicon: names and rare words do occur
LETTER_COST = 5.0  # logarithm of how unlikely a wrong letter is, where only the letters are known
# Handshapes that are taken for each other: wrong in the same way by signers, trackers and networks.
ALIKE: tuple[str, ...] = ("AEMNST", "DRUVKZ", "GHPQ", "COE", "IJY", "DXZT", "KVPR", "BEF", "UVWR")


class Lexicon:
    """The most frequent English words, from the package wordfreq; ``names`` of one's own are never changed.

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
        """The most frequent words that begin with the letters spelled so far, without that very word."""
        start = start.upper()
        found = (word for word in self._frequency if start and word.startswith(start) and word != start)
        return tuple(islice(found, count))

    def correct(self, word: str, log_probabilities: np.ndarray | None = None) -> str:
        """The word that was most likely meant by the letters that were read.

        A name that the lexicon was not given may be changed, if a word is near and what was seen speaks for that word:
        so correction is for the caller to ask for, never a matter of course. ``log_probabilities`` (T, 27) are what the
        network said at each moment of the word, "neither" first: with them every candidate is weighed by how well it
        explains all of them, else by how alike the letters' hands are.
        """
        word = word.upper()
        if not word or word in self._names or not set(word) <= set(LETTERS):  # signs of one's own are no letters
            return word
        candidates = list(dict.fromkeys((word, *self.candidates(word))))
        prior = np.array([math.log(self._frequency.get(candidate, UNKNOWN)) for candidate in candidates])
        if log_probabilities is None:
            fit = np.array([-LETTER_COST * letter_distance(word, candidate) for candidate in candidates])
        else:
            fit = word_scores(log_probabilities, candidates)
        return candidates[int(np.argmax(fit + PRIOR_WEIGHT * prior))]

    def candidates(self, word: str) -> tuple[str, ...]:
        """At most 400 words of the lexicon that differ in few letters, near and frequent ones first."""
        length = len(word)
        most = 1 if length <= 2 else 2 if length == 3 else 3 if length <= 6 else 4
        near = process.extract(word, [*self._frequency], scorer=Levenshtein.distance, score_cutoff=most, limit=None)
        ranked = sorted(near, key=lambda found: LETTER_COST * found[1] - math.log(self._frequency[found[0]]))
        return tuple(found[0] for found in ranked[:400])


def check_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names as a tuple, or InputError if they are one word, whose letters would pass for names."""
    listed = names if isinstance(names, str) else tuple(names)
    if isinstance(listed, str) or not all(isinstance(name, str) for name in listed):
        raise InputError(f"names={names!r}: give a list of words")
    return listed


def letter_distance(read: str, meant: str) -> float:
    """Edit distance in which taking a letter for one of the same family (``ALIKE``) costs half."""
    row = [float(k) for k in range(len(meant) + 1)]
    for number, letter in enumerate(read, 1):
        before, row = row, [float(number)]
        for place, other in enumerate(meant, 1):
            swap = 0.0 if letter == other else 0.5 if any(letter in f and other in f for f in ALIKE) else 1.0
            row.append(min(before[place] + 1, row[-1] + 1, before[place - 1] + swap))
    return row[-1]


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

    words: dict[str, float] = {}
    for word in top_n_list("en", size * 2):
        upper = word.upper()
        if upper.isascii() and upper.isalpha() and (len(upper) > 1 or upper in "AI"):
            words[upper] = word_frequency(word, "en")
            if len(words) == size:
                break
    return words


def draw_words(count: int, seed: int) -> list[str]:
    """Draw different words of two letters and more by their frequency, to spell them."""
    words = {word: share for word, share in _frequencies(10_000).items() if len(word) > 1}
    shares = np.array(list(words.values()))
    drawn = np.random.default_rng(seed).choice(list(words), count, replace=False, p=shares / shares.sum())
    return [str(word) for word in drawn]
