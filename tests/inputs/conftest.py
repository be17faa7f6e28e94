from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Path:
    """One folder for a whole property test: every example writes over the last one's file."""
    return tmp_path_factory.mktemp("inputs")
