"""Training: one loop, what each network is fed, films of drawn spelling, signs that a person adds.

The names below are imported on first use.
"""

from __future__ import annotations

import lazy_loader

_MODULES = {
    "films": ("Plan", "films", "follow", "practice_plans"),
    "signs": ("TeachingSettings", "add_signs"),
}

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs=_MODULES)
