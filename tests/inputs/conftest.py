from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Path:
    """One folder for a whole property test: every example writes over the last one's file."""
    return tmp_path_factory.mktemp("inputs")


def pytest_terminal_summary(terminalreporter):
    from damage import TRIED

    if TRIED:
        subjects = sorted({name.rpartition(", ")[0] for name in TRIED})
        terminalreporter.section(f"{TRIED.total():,} inputs tried")
        for subject in subjects:
            read, refused = TRIED[f"{subject}, read"], TRIED[f"{subject}, refused"]
            terminalreporter.write_line(f"{subject}: {read:,} read, {refused:,} refused")
