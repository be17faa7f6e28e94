"""Damage for files, and the one rule that every reader is held to: read right, or refused in one line."""

from __future__ import annotations

import csv
import gzip
import io
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from asllib.errors import InputError

SECONDS = 120  # longer than this, also on a busy machine, one input hangs
TRIED: Counter[str] = Counter()  # what a reader was given: "read" or "refused" by subject


def tries(few: int) -> settings:
    """So many examples in the profile "ci", thirty times as many in "long"."""
    return settings(max_examples=few * (30 if settings.get_current_profile_name() == "long" else 1))


def outcome(subject: str, names: Path | str, read: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What ``read`` returns, or its InputError, one line that names the file; nothing else may happen."""
    previous = signal.signal(signal.SIGALRM, _hangs)
    signal.alarm(SECONDS)
    try:
        result = read(*arguments, **options)
        TRIED[f"{subject}, read"] += 1
        return result
    except InputError as error:
        message = str(error)
        assert message.splitlines() == [message] and message.isprintable(), message
        assert str(names) in message, f"{names} is not named in: {message}"
        TRIED[f"{subject}, refused"] += 1
        return error
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def refused(result: Any) -> bool:
    return isinstance(result, InputError)


def _hangs(*_: object) -> None:
    raise TimeoutError(f"an input took more than {SECONDS} seconds")


@st.composite
def broken_bytes(draw: st.DrawFn, sound: bytes) -> bytes:
    """The bytes of a file cut short, with bytes changed, put in, left out or doubled, or of another file altogether."""
    how = draw(st.sampled_from(["cut", "change", "change", "put in", "leave out", "double", "other", "empty"]))
    at = draw(st.integers(0, len(sound) - 1))
    if how == "cut":
        return sound[:at]
    if how == "change":
        changed = bytearray(sound)
        for place in [at, *draw(st.lists(st.integers(0, len(sound) - 1), max_size=8))]:
            changed[place] = draw(st.integers(0, 255))
        return bytes(changed)
    if how == "put in":
        return sound[:at] + draw(st.binary(min_size=1, max_size=40)) + sound[at:]
    if how == "leave out":
        return sound[:at] + sound[at + draw(st.integers(1, 200)) :]
    if how == "double":
        return sound[:at] * 2 + sound[at:]
    return b"" if how == "empty" else draw(st.binary(max_size=300))


# Values that stand in a cell by mistake or on purpose.
CELLS = st.one_of(
    st.sampled_from(
        ["", " ", "nan", "NaN", "inf", "-inf", "1e999", "-1", "256", "9" * 400, "0x10", "1_0", "1,5", "٣", "True"]
    ),
    st.sampled_from(
        ["None", "=1+1", "a\nb", 'a"b', "a\0b", "\x1b[2J", "\u202e", "../../x", "/etc/passwd", "x" * 5000, "ä", "😀"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.floats().map(repr),
    st.integers().map(str),
)

Rows = list[list[str]]


def csv_bytes(rows: Rows, ends: str = "\n") -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator=ends).writerows(rows)
    return text.getvalue().encode()


@st.composite
def same_csv(draw: st.DrawFn, rows: Rows) -> bytes:
    """Another file that says the same, by the columns' names: order, line ends, quotes, empty lines, a mark."""
    order = draw(st.permutations(range(len(rows[0]))))
    rows = [[row[i] for i in order] for row in rows]
    text, ends = io.StringIO(), draw(st.sampled_from(["\n", "\r\n"]))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    csv.writer(text, lineterminator=ends, quoting=quoting).writerows(rows)
    content = text.getvalue()
    if draw(st.booleans()):
        content = content.removesuffix(ends)
    if draw(st.booleans()):
        content += ends * 2
    return content.encode(draw(st.sampled_from(["utf-8", "utf-8-sig"])))


@st.composite
def broken_rows(draw: st.DrawFn, rows: Rows) -> tuple[Rows, int | None]:
    """A table that is wrong in one place, and the row, from 1, that was touched; None where it is more than one."""
    rows = [list(row) for row in rows]
    at, column = draw(st.integers(1, len(rows) - 1)), draw(st.integers(0, len(rows[0]) - 1))
    how = draw(
        st.sampled_from(
            ["cell", "cell", "cell", "short", "long", "rename", "twice", "drop", "header only", "no header"]
        )
    )
    if how == "cell":
        rows[at][column] = draw(CELLS)
        return rows, at
    if how == "short":
        rows[at] = rows[at][:column]
        return rows, at
    if how == "long":
        rows[at] = rows[at] + draw(st.lists(CELLS, min_size=1, max_size=3))
        return rows, at
    if how == "rename":
        rows[0][column] = draw(CELLS)
    elif how == "twice":
        for row in rows:
            row.insert(draw(st.integers(0, len(row))), row[column]) if row is not rows[0] else row.append(row[column])
    elif how == "drop":
        for row in rows:
            del row[column]
    return (rows[:1] if how == "header only" else rows[1:] if how == "no header" else rows), None


ENCODINGS = st.sampled_from(["utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "cp037"])


@st.composite
def broken_csv(draw: st.DrawFn, rows: Rows) -> bytes:
    """Any kind of damage to a CSV file, in its values or its bytes."""
    if draw(st.booleans()):
        return csv_bytes(draw(broken_rows(rows))[0])
    sound = csv_bytes(rows, draw(st.sampled_from(["\n", "\r\n"])))
    if draw(st.integers(0, 5)) == 0:
        return sound.decode().encode(draw(ENCODINGS), errors="replace")
    return draw(broken_bytes(sound))


def gz(content: bytes) -> bytes:
    return gzip.compress(content, 1)


# JSON values of every kind, also those that Python's writer lets through.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("../../etc/passwd"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def broken_json(draw: st.DrawFn, sound: dict[str, Any]) -> dict[str, Any] | Any:
    """A JSON object with a value of another kind in some place, a key gone, or another value altogether."""
    how = draw(st.sampled_from(["value", "value", "inner", "gone", "more", "other"]))
    if how == "other":
        return draw(JSON)
    key = draw(st.sampled_from(sorted(sound)))
    if how == "gone":
        return {name: value for name, value in sound.items() if name != key}
    if how == "more":
        return {**sound, draw(st.text(max_size=8)): draw(JSON)}
    if how == "inner" and isinstance(sound[key], dict) and sound[key]:
        return {**sound, key: draw(broken_json(sound[key]))}
    return {**sound, key: draw(JSON)}


def everything_in(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its content, links as they are: to see that nothing was written."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in sorted(folder.rglob("*"))
    }
