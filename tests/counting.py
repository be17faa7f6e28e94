"""Hooks of pytest: the inputs that tests of tests/inputs tried are counted in every process; the first prints them."""

import pytest


def pytest_sessionfinish(session):
    from damage import TRIED

    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tried"] = dict(TRIED)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    from damage import TRIED

    TRIED.update(getattr(node, "workeroutput", {}).get("tried", {}))


def pytest_terminal_summary(terminalreporter):
    from damage import TRIED

    if TRIED:
        subjects = sorted({name.rpartition(", ")[0] for name in TRIED})
        terminalreporter.section(f"{TRIED.total():,} inputs tried")
        for subject in subjects:
            read, refused = TRIED[f"{subject}, read"], TRIED[f"{subject}, refused"]
            terminalreporter.write_line(f"{subject}: {read:,} read, {refused:,} refused")
