"""How the pages are built: ``make docs``, or ``sphinx-build -W docs build/docs``."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import asllib  # noqa: E402 - the checkout's own

project = "asllib"
author = "the asllib developers"
project_copyright = f"2026, {author}"
version = release = asllib.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

# Headings can be linked to (`page.md#heading`), as on a code host.
myst_heading_anchors = 3

# The order of the source is the order in which a module is read.
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "asllib"


def write_command_page() -> None:
    """Write ``reference/commands.md`` from the help texts of the ``asl`` command itself."""
    command = [sys.executable, "-m", "typer", "asllib.cli", "utils", "docs", "--name", "asl"]
    made = subprocess.run(
        [*command, "--title", "The asl command"], cwd=HERE.parent, capture_output=True, text=True, check=True
    )
    (HERE / "reference" / "commands.md").write_text(made.stdout, encoding="utf-8")


def mend_ranges(app, what, name, obj, options, lines: list[str]) -> None:
    """Part a range such as ``"A"``..``"Z"``: in reStructuredText no literal begins after a full stop."""
    lines[:] = [line.replace("``..``", "`` .. ``") for line in lines]


def setup(app) -> None:
    """Called by Sphinx."""
    write_command_page()
    app.connect("autodoc-process-docstring", mend_ranges)
