"""Figures, by the data that they show."""

import numpy as np
import pandas as pd
import pytest

from asllib import plots


def test_pictures_stand_in_rows_with_the_scale_that_is_asked_for():
    images = [np.full((2, 2), value, np.float32) for value in (0.2, 0.4, 0.3)]
    figure = plots.picture_grid(images, "ABC", "made", columns=2, span=(0.2, 0.4))
    shown = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in shown] == ["A", "B", "C"]
    assert all(axis.images[0].get_clim() == (0.2, 0.4) for axis in shown)
    assert shown[0].get_gridspec().get_geometry() == (2, 2) and figure.get_supxlabel() == "made"
    grey = plots.picture_grid([np.zeros((2, 2), np.uint8)], "A", "made")
    assert grey.axes[0].images[0].get_clim() == (0, 255) and len(grey.axes) == 1


def test_a_letter_that_a_source_lacks_leaves_its_place_blank(letter_set):
    letters = letter_set(["A", "B", "A"])
    letters.table["source"] = ["one", "one", "two"]
    figure = plots.source_grid(letters, "AB")
    assert [axis.get_title() for axis in figure.axes] == ["A \u00b7 one", "B", "A \u00b7 two", "B"]
    assert figure.axes[3].images[0].get_array().shape == (1, 1, 3)


def test_lines_that_cover_each_other_differ_in_all_but_their_place():
    same = [0.5, 0.6]
    lines = plots.line_panels(
        {"first": {"a": same, "b": same}, "second": {"c": pd.Series(same, [10, 20])}}, "x", "y", ""
    )
    left, right = lines.axes
    one, other = left.lines
    assert one.get_xdata().tolist() == [1, 2] and right.lines[0].get_xdata().tolist() == [10, 20]
    for get in ("get_color", "get_linestyle", "get_marker"):
        assert getattr(one, get)() != getattr(other, get)()
    assert one.get_linewidth() > other.get_linewidth() and one.get_markersize() > other.get_markersize()


def test_guessing_is_a_line_of_its_own():
    figure = plots.all_models({"networks": {"rate 1": [0.2, 0.4]}}, 1 / 6, "made")
    run, guessing = figure.axes[0].lines
    assert run.get_ydata().tolist() == [0.2, 0.4] and set(guessing.get_ydata()) == {1 / 6}
    assert figure.axes[0].texts[0].get_text() == "guessing, 6 letters"


def test_the_two_networks_keep_the_papers_colours():
    run = {"valid_accuracy": [0.1, 0.2], "train_accuracy": [0.3, 0.4]}
    lines = plots.pixel_vs_landmarks({"ours": (run, run)}, "made").axes[0].lines
    assert [line.get_color() for line in lines] == [plots.GREEN, plots.GREEN, plots.BLUE, plots.BLUE]
    assert [line.get_ydata().tolist() for line in lines[:2]] == [[0.1, 0.2], [0.3, 0.4]]


def test_shares_of_a_confusion_are_of_the_letters_images():
    axis = plots.confusion_matrix(np.array([[3, 1, 0], [0, 0, 0]]), "AB", "made").axes[0]
    assert axis.collections[0].get_array().tolist() == [[0.75, 0.25, 0], [0, 0, 0]]
    assert [text.get_text() for text in axis.texts if text.get_text()] == ["3", "1"]


def test_bars_and_bands_show_the_intervals():
    table = pd.DataFrame([("pixel", "one", 0.5, 0.4, 0.7)], columns=["network", "name", "accuracy", "low", "high"])
    axis = plots.accuracy_bars(table, "made").axes[0]
    assert axis.patches[0].get_width() == 50 and axis.texts[0].get_text() == "50.0"
    ends = axis.collections[0].get_segments()[0]
    assert ends[:, 0] == pytest.approx([40, 70])
    band = plots.interval_lines({"one": table.set_index(pd.Index([1]))}, "n", "made").axes[0]
    assert band.lines[0].get_ydata().tolist() == [50]
    corners = band.collections[0].get_paths()[0].vertices
    assert (corners[:, 1].min(), corners[:, 1].max()) == pytest.approx((40, 70))


def test_a_timeline_shows_what_is_held_and_what_is_read():
    from asllib.read.decoder import ReadLetter

    table = pd.DataFrame({"A": [1.0, 0.0, 0.0], "B": [0.0, 0.5, 1.0]}, [0.0, 0.1, 0.2])
    axis = plots.letter_timeline(table, ["A", "", "B"], [ReadLetter("A", 0.0, 0.1, 0.9)], "made").axes[0]
    assert axis.images[0].get_array().tolist() == table.to_numpy().T.tolist()
    held = [np.isfinite(line.get_ydata()).tolist() for line in axis.lines]
    assert held == [[True, False, False], [False, False, True]]
    assert [text.get_text() for text in axis.texts] == ["A"]
