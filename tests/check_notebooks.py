"""Check stored notebooks: no picture above 150 kB, no absolute path. ``python tests/check_notebooks.py FILE...``"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST = 150_000  # bytes of a picture, unpacked
ABSOLUTE = re.compile(r"(?<![\w.:/])/(home|root|tmp|work|Users|usr|opt|mnt|var)/|[A-Z]:\\")


def faults(path: Path) -> list[str]:
    """One line for each picture that is too large and each cell that names a folder of one machine."""
    found = []
    for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
        where = f"{path}, cell {number}"
        for kind, text in texts(cell):
            if kind.startswith("image/") and kind != "image/svg+xml":
                if (size := len(base64.b64decode(text))) > MOST:
                    found.append(f"{where}: a picture of {size / 1000:.0f} kB; at most {MOST / 1000:.0f}")
            elif place := ABSOLUTE.search(text):
                found.append(f"{where}: an absolute path, {text[place.start() :][:40]!r}")
    return found


def texts(cell: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Kind and content of all that a cell holds: its source, and each form of its outputs."""
    yield "source", "".join(cell["source"])
    for output in cell.get("outputs", []):
        yield "text", "".join(output.get("text", "")) + "".join(output.get("traceback", ""))
        for kind, content in output.get("data", {}).items():
            yield kind, content if isinstance(content, str) else "".join(content)


if __name__ == "__main__":
    lines = [line for name in sys.argv[1:] for line in faults(Path(name))]
    sys.exit("\n".join(lines))
