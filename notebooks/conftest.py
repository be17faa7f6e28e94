"""How nbval runs these notebooks: what it does not compare, and which of them wait for each other."""

from __future__ import annotations

import pytest

SKIPPED = ("stderr", "text/html", "image/svg+xml")  # log lines, and pictures and tables whose text differs by version
TOGETHER = ("04", "05", "06")  # 6 draws the results that 4 and 5 write


def pytest_collectstart(collector):
    """Leave these outputs out of every comparison; ``skip_compare`` is there on nbval's notebooks only."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += SKIPPED
        collector.config.option.randomly_reorganize = False  # cells run one after the other, as they are written


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With ``-n 2`` two notebooks run at a time, each in one process; those of ``TOGETHER`` in turn in the same."""
    from xdist.scheduler import LoadScopeScheduling

    class OneProcessEach(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            number = nodeid.rpartition("/")[2][:2]
            return TOGETHER[0] if number in TOGETHER else number

    return OneProcessEach(config, log)
