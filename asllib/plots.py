"""One function per figure; each takes data and returns a Matplotlib figure, most with a caption that names the data.

Colours: the paper's green (pixels) and blue (landmarks), in Okabe and Ito's shades for colour-blind readers.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from asllib.data.letterset import LetterSet
from asllib.evaluation import NO_HAND
from asllib.signer import SignedWord

GREEN, BLUE, ORANGE, GRAY = "#009E73", "#0072B2", "#D55E00", "#666666"
COLORS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
MARKERS = "os^DvPX*"
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), "-", "--")


def _figure(width: float, height: float, rows: int = 1, columns: int = 1, **kwargs):
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **kwargs)


def _caption(figure: Figure, text: str) -> Figure:
    figure.supxlabel(text, fontsize=9, color=GRAY)
    return figure


def _style(number: int) -> dict[str, Any]:
    """Later lines are thinner, with smaller, hollow markers, so that a line shows the line below it."""
    n = number % len(COLORS)
    line = {"color": COLORS[n], "linestyle": DASHES[n], "linewidth": 2.4 - 0.2 * n}
    return line | {"marker": MARKERS[n], "markersize": 9 - 0.8 * n, "markerfacecolor": "none"}


def first_of_each(letters: LetterSet, wanted: Sequence[str]) -> list[int]:
    """Position of the first item of each wanted letter in the set."""
    found = letters.letters
    return [int(np.flatnonzero(found == letter)[0]) for letter in wanted if (found == letter).any()]


def picture_grid(
    images: Collection[np.ndarray],
    titles: Iterable[str],
    caption: str,
    columns: int = 6,
    size: float = 1.6,
    span: tuple[float, float] | None = None,
    colors: str = "gray",
) -> Figure:
    """Pictures side by side, each with a title: (H, W) grey or (H, W, 3) RGB bytes, or (H, W) numbers.

    A row has ``columns`` pictures, each ``size`` inches wide; ``span`` and ``colors``: range and colour map of numbers.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure, axes = _figure(size * columns + bool(span), (size + 0.25) * rows + 0.3, rows, columns, squeeze=False)
    low, high = span or (0, 255)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, title in zip(axes.flat, images, titles, strict=False):
        axis.imshow(image, cmap=colors, vmin=low, vmax=high)
        axis.set_title(title, fontsize=min(12, 8 * size))
    if span:
        figure.colorbar(axes.flat[0].images[0], ax=axes, label="value", shrink=0.8)
    return _caption(figure, caption)


def source_grid(letters: LetterSet, wanted: Sequence[str]) -> Figure:
    """An example of each letter from each source, one row per source."""
    images, titles = [], []
    for source, table in letters.table.groupby("source"):
        for letter in wanted:
            places = table.index[table["label"] == letter]
            blank = np.full((1, 1, 3), 255, np.uint8)
            images.append(letters.images[places[len(places) // 2]] if len(places) else blank)
            titles.append(f"{letter} · {source}" if letter == wanted[0] else letter)
    return picture_grid(images, titles, f"Data: {letters.name}", len(wanted), 1.2)


def distribution(sets: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """The paper's figure 6: images per letter, stacked by part of the split: set -> letters (N,), parts (N,)."""
    figure, axes = _figure(9, 2.9 * len(sets), len(sets), 1, squeeze=False)
    for axis, (name, (letters, part)) in zip(axes.flat, sets.items(), strict=True):
        counts = pd.crosstab(letters, part).reindex(columns=["train", "valid", "test"], fill_value=0)
        below = counts.cumsum(axis=1) - counts
        for column, color, hatch in (("train", BLUE, ""), ("valid", "#E69F00", "//"), ("test", "#BBBBBB", "..")):
            label = f"{column} {np.mean(part == column):.0%}"
            how = {"color": color, "hatch": hatch, "edgecolor": "white", "label": label}
            axis.bar(counts.index, counts[column], bottom=below[column], **how)
        axis.set(title=f"{name}: {len(letters):,} images", ylabel="images", xlabel="letter")
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def line_panels(
    panels: Mapping[str, Mapping[str, Any] | pd.DataFrame], xlabel: str, ylabel: str, caption: str, lowest: float = 0
) -> Figure:
    """Lines of shares, two panels in a row, each with its legend below: title -> name of a line -> its values.

    The index of a Series gives its x values; a list has 1, 2, ... ``lowest`` is where the vertical axis begins.
    """
    rows, columns = -(-len(panels) // 2), min(2, len(panels))
    width, height = (5.2, 3.9) if rows == 1 else (3.75, 2.4)
    figure, axes = _figure(max(7.5, width * columns), height * rows, rows, columns, squeeze=False, sharey=True)
    for axis, (title, lines) in zip(axes.flat, panels.items(), strict=False):
        for number, (name, values) in enumerate(lines.items()):
            series = values if isinstance(values, pd.Series) else pd.Series(values, range(1, len(values) + 1))
            axis.plot(series.index, series.to_numpy(), label=name, **_style(number))
        axis.set(title=title, xlabel=xlabel, ylim=(lowest, 1.03))
        _grid_and_legend(axis, 0.18 if rows == 1 else 0.28)
    for axis in axes[:, 0]:
        axis.set_ylabel(ylabel)
    return _caption(figure, caption)


def _grid_and_legend(axis: Axes, below: float = 0.18) -> None:
    axis.grid(alpha=0.3)
    axis.legend(loc="upper left", bbox_to_anchor=(0, -below), ncols=2, fontsize=9, frameon=False)


def pixel_vs_landmarks(runs: Mapping[str, Sequence[Mapping[str, Sequence[float]]]], caption: str) -> Figure:
    """The paper's figure 7: validation accuracy over epochs; preset -> histories of pixels and of landmarks."""
    figure, axes = _figure(5 * len(runs), 4, 1, len(runs), squeeze=False, sharey=True)
    for axis, (name, pair) in zip(axes.flat, runs.items(), strict=True):
        for history, label, color, marker in zip(pair, ("pixels", "landmarks"), (GREEN, BLUE), "os", strict=True):
            epochs = np.arange(1, len(history["valid_accuracy"]) + 1)
            every = max(1, len(epochs) // 10)
            axis.plot(epochs, history["valid_accuracy"], color=color, marker=marker, markevery=every, label=label)
            axis.plot(epochs, history["train_accuracy"], color=color, linestyle=":", label=f"{label}, training")
        axis.set(title=name, xlabel="epoch", ylim=(0, 1.02))
        axis.grid(alpha=0.3)
    axes.flat[0].set_ylabel("accuracy")
    axes.flat[-1].legend(loc="lower right")
    return _caption(figure, caption)


def all_models(curves: Mapping[str, Mapping[str, Sequence[float]]], chance: float, caption: str) -> Figure:
    """The paper's figure 8: panel -> name of a run -> validation accuracy after each epoch."""
    figure = line_panels(curves, "epoch", "validation accuracy", caption)
    for axis in figure.axes:
        axis.axhline(chance, color=GRAY, linestyle="--", linewidth=1)
        said, place = f"guessing, {round(1 / chance)} letters", axis.get_yaxis_transform()
        axis.text(0.99, chance - 0.015, said, color=GRAY, fontsize=9, ha="right", va="top", transform=place)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def confusion_matrix(matrix: np.ndarray, alphabet: Sequence[str], caption: str) -> Figure:
    """Truth against reading, (L, L + 1) counts."""
    shares = matrix / np.maximum(1, matrix.sum(1, keepdims=True))
    columns = [*alphabet, NO_HAND]
    figure, axis = _figure(9, 8)
    seaborn.heatmap(
        shares, vmin=0, vmax=max(0.1, shares.max()), cmap="Blues", square=True, ax=axis,
        annot=np.where(matrix > 0, matrix.astype(str), ""), fmt="", annot_kws={"fontsize": 7},
        xticklabels=columns, yticklabels=list(alphabet),
        cbar_kws={"label": "share of the letter's images", "shrink": 0.7},
    )  # fmt: skip
    axis.tick_params(axis="y", rotation=0)
    axis.set(xlabel=f"read as ('{NO_HAND}' no hand found)", ylabel="shown")
    return _caption(figure, caption)


def accuracy_bars(table: pd.DataFrame, caption: str) -> Figure:
    """Accuracies with 95 % intervals as horizontal bars, of columns ``name, network, accuracy, low, high``."""
    figure, axis = _figure(8.5, 0.42 * len(table) + 1.2)
    colors = [{"pixel": GREEN, "landmark": BLUE, "default": BLUE}.get(network, GRAY) for network in table["network"]]
    places = np.arange(len(table))
    error = np.abs(np.stack([table["accuracy"] - table["low"], table["high"] - table["accuracy"]]))
    bars = axis.barh(places, 100 * table["accuracy"], xerr=100 * error, color=colors, capsize=3, height=0.65)
    axis.bar_label(bars, fmt="%.1f", padding=5)
    axis.set_yticks(places, table["name"])
    axis.invert_yaxis()
    axis.set(xlim=(0, 112), xticks=range(0, 101, 20), xlabel="right, % (bar), and its 95 % interval")
    axis.grid(axis="x", alpha=0.3)
    return _caption(figure, caption)


def interval_lines(lines: Mapping[str, pd.DataFrame], xlabel: str, caption: str) -> Figure:
    """Accuracies with 95 % intervals as lines: the index is x, the columns are ``accuracy, low, high``."""
    figure, axis = _figure(6, 3.4)
    for number, (name, table) in enumerate(lines.items()):
        axis.plot(table.index, 100 * table["accuracy"], label=name, **_style(number))
        low, high = 100 * table["low"], 100 * table["high"]
        axis.fill_between(table.index, low, high, color=COLORS[number], alpha=0.15, linewidth=0)
    axis.set(xlabel=xlabel, ylabel="accuracy, %")
    _grid_and_legend(axis)
    return _caption(figure, caption)


def letter_timeline(table: pd.DataFrame, held: Sequence[str], read: Sequence, title: str) -> Figure:
    """Probabilities of a network over time while a word is spelled; held letters below, letters that are read above.

    ``table`` has a row per moment, its index in seconds, and a column per letter; ``held`` (T,) has "" for none.
    """
    times, letters = table.index, table.columns
    figure, axis = _figure(9, 0.32 * len(letters) + 1.6)
    edges = (times[0], times[-1], len(letters) - 0.5, -0.5)
    axis.imshow(table.T, aspect="auto", extent=edges, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axis.set_yticks(range(len(letters)), letters)
    for row, letter in enumerate(letters):
        axis.plot(times, np.where(np.array(held) == letter, row + 0.42, np.nan), color=ORANGE, lw=3)
    for one in read:
        axis.annotate(
            one.letter, (one.end_s, -0.5), (one.end_s, -1.1), ha="center", fontsize=12, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": GRAY},
        )  # fmt: skip
    axis.set(xlabel="seconds", ylabel="letter")
    figure.colorbar(axis.images[0], ax=axis, label="probability", ticks=[0, 0.5, 1], fraction=0.03, pad=0.02)
    return _caption(figure, title)


def stroke_strip(films: Sequence[SignedWord], tips: Sequence[int], caption: str) -> Figure:
    """Films of moving letters, one row per film: eight moments of the stroke with the path of one landmark so far."""
    figure, axes = _figure(12, 1.7 * len(films) + 0.3, len(films), 8, squeeze=False)
    for row, film, tip in zip(axes, films, tips, strict=True):
        shown = np.flatnonzero(film.positions >= 0)
        path = film.landmarks[shown, tip, :2] * np.array(film.frames.shape[2:0:-1])
        for axis, k in zip(row, np.linspace(0, len(shown) - 1, 8).round().astype(int), strict=True):
            axis.axis("off")
            axis.imshow(film.frames[shown[k]])
            axis.plot(*path[: k + 1].T, color=ORANGE, lw=2)
            axis.set_title(f"{film.word} · {(shown[k] - shown[0]) / film.fps:.1f} s", fontsize=10)
    return _caption(figure, caption)
