"""What nbval does not compare in these notebooks: log lines, and pictures and tables whose text differs by version."""

from __future__ import annotations

SKIPPED = ("stderr", "text/html", "image/svg+xml")


def pytest_collectstart(collector):
    """Leave these outputs out of every comparison; ``skip_compare`` is there on nbval's notebooks only."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += SKIPPED
