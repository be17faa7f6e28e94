"""Sets that several tests look at; rendered once."""

import pytest

from asllib.signer import render_letters


@pytest.fixture(scope="session")
def alphabet_shots():
    """Two signers, every letter once."""
    return render_letters(signers=2, views=1, size=224, seed=3)
