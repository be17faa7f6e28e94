"""Fewer items of each letter and source, and what of a photo is cropped tight."""

import numpy as np
import pandas as pd

from asllib.data import LetterSet
from asllib.data.audit import touches_border
from asllib.hands.landmarks import SIZE_COLUMNS, landmark_columns


def letter_set(labels: str, sources: str) -> LetterSet:
    table = pd.DataFrame({"file": [f"{i}.png" for i in range(len(labels))], "label": list(labels)})
    table = table.assign(source=list(sources), signer="unknown", original=table["file"], split="")
    return LetterSet("test", table, np.arange(len(labels) * 784).reshape(-1, 28, 28).astype(np.uint8))


def test_thin_keeps_so_many_of_each_letter_and_source_in_order():
    letters = letter_set("AAAAAABBAAAB", "xxxxxxxxyyyy")
    thinned = letters.thin(2)
    # Of six the first and the fourth, of three the first and the second.
    assert thinned.table["file"].tolist() == ["0.png", "3.png", "6.png", "7.png", "8.png", "9.png", "11.png"]
    assert (thinned.images == letters.images[[0, 3, 6, 7, 8, 9, 11]]).all()


def test_thin_by_none_or_by_more_than_there_are_changes_nothing():
    letters = letter_set("AABB", "xxxx")
    assert letters.thin(None) is letters
    assert letters.thin(5).table.equals(letters.table)


def test_touching_the_border_is_a_landmark_within_two_per_cent_of_it_or_beyond():
    columns = [*landmark_columns(), *SIZE_COLUMNS]
    table = pd.DataFrame(0.5, index=range(5), columns=columns).astype({"side": object})
    table["side"] = "right"
    table.loc[1, "x8"], table.loc[2, "y0"], table.loc[3, "z4"] = 0.01, 1.2, -0.3
    table.loc[4, [c for c in columns if c[0] in "xyz"]] = np.nan
    assert touches_border(table).tolist() == [False, True, True, False, False]
