"""Results: numbers with everything that is needed to repeat them, and the folders of results and figures."""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from asllib.config import profile
from asllib.data.letterset import LetterSet
from asllib.errors import InputError
from asllib.files import read_json
from asllib.paths import figures_dir, replacing, results_dir, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PACKAGES = ("asllib", "torch", "mediapipe", "ai-edge-litert", "opencv-python", "numpy", "scikit-learn")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def data_card(letters: LetterSet) -> dict[str, Any]:
    """Name, size and hash of a set, for results and model cards."""
    return {"name": letters.name, "rows": len(letters), "sha256": letters.sha256(), "synthetic": letters.synthetic}


def place(root: Path, synthetic: bool) -> Path:
    """Folder for the output of this run: ``root`` for the profile "paper" on real data, else ci or synthetic in it."""
    if profile().name == "ci":
        return root / "ci"
    return root / "synthetic" if synthetic else root


def save_result(name: str, values: Mapping[str, Any], data: LetterSet, seed: int | list[int] = 0) -> Path:
    """Write ``NAME.json`` with values, data hash, seed, profile and versions; return its path."""
    about = {"data": data_card(data), "seed": seed, "profile": profile().name, "versions": versions()}
    path = place(results_dir(), data.synthetic) / f"{name}.json"
    # NaN and infinity become null, since JSON lacks them.
    standard = json.loads(json.dumps({**values, **about}, default=float), parse_constant=lambda name: None)
    write_text(path, json.dumps(standard, indent=1) + "\n")
    return path


def load_result(name: str, synthetic: bool = False) -> dict[str, Any]:
    """Read a result of this profile back; InputError if it is not there yet, or damaged."""
    try:
        return read_json(place(results_dir(), synthetic) / f"{name}.json", "result file")
    except InputError as error:
        raise InputError(f"{error}; run the notebook that makes it, or 'asl reproduce'") from None


def save_figure(figure: "Figure", name: str, synthetic: bool = False) -> Path:
    """Write ``NAME.png`` into the figures folder; return its path."""
    path = place(figures_dir(), synthetic) / f"{name}.png"
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, bbox_inches="tight", metadata={"Software": None})
    return path


def save_table(table: pd.DataFrame, name: str, synthetic: bool = False) -> Path:
    """Write ``NAME.csv`` beside the figures; return its path."""
    path = place(figures_dir(), synthetic) / f"{name}.csv"
    write_text(path, table.to_csv(index=False, float_format="%.4f"))
    return path
