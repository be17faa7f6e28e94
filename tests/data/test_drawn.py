import numpy as np
import pytest
from study import named_hands

from asllib.data.drawn import APART, distance_to_letters, random_hands, random_handshape
from asllib.letters import STATIC
from asllib.signer.alphabet import LETTERS, OTHERS


def test_a_letter_is_no_other_hand():
    for letter in STATIC:
        assert distance_to_letters(np.array(LETTERS[letter].angles)) == 0
    for shape in OTHERS.values():
        assert distance_to_letters(np.array(shape.angles)) > 5


def test_random_handshapes_are_far_from_every_letter_and_differ():
    shapes = [random_handshape(np.random.default_rng(seed)) for seed in range(20)]
    assert min(map(distance_to_letters, shapes)) > APART
    assert np.ptp(shapes, axis=0)[:16].min() > 5
    np.testing.assert_array_equal(shapes[3], random_handshape(np.random.default_rng(3)))


@pytest.mark.slow
def test_they_are_drawn_once(no_data, monkeypatch):
    named = named_hands(signers=1, views=1)
    assert named.synthetic and sorted(named.letters) == sorted(OTHERS)
    assert named.images[0].shape == (224, 224, 3) and named.images[0].std() > 10
    random = random_hands(1, 3)
    assert set(random.letters) == {"other"} and len(random) == 3
    monkeypatch.setattr("asllib.signer.letters.photograph_each", lambda *arguments: pytest.fail("drawn again"))
    assert named_hands(signers=1, views=1).sha256() == named.sha256()
