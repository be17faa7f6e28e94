"""One function a figure; each takes data and returns a Matplotlib figure, and names the data in its caption.

Colours: the paper's green (pixels) and blue (landmarks), in the shades of Okabe and Ito that colour-blind readers tell
apart; lines differ by dash and marker too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from asllib.data.letterset import LetterSet
from asllib.evaluation import NO_HAND
from asllib.hands.drawing import draw_hand
from asllib.hands.look import Hand
from asllib.train.loop import History

if TYPE_CHECKING:
    from asllib.signer import SignedWord

GREEN, BLUE, ORANGE, GRAY = "#009E73", "#0072B2", "#D55E00", "#666666"
MARKERS = "osD^vP*X"


def _figure(width: float, height: float, rows: int = 1, columns: int = 1, **kwargs):
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **kwargs)


def _caption(figure: Figure, text: str) -> Figure:
    figure.supxlabel(text, fontsize=9, color=GRAY)
    return figure


def _pictures(images: Collection[np.ndarray], titles: Iterable[str], columns: int, size: float = 1.6, **show) -> Figure:
    rows = max(1, -(-len(images) // columns))
    figure, axes = _figure(size * columns, (size + 0.25) * rows + 0.3, rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, title in zip(axes.flat, images, titles, strict=False):
        axis.imshow(image, **show)
        axis.set_title(title, fontsize=12)
    return figure


def first_of_each(letters: LetterSet, wanted: Sequence[str]) -> list[int]:
    """Position of the first item of each wanted letter that the set has."""
    found = letters.letters
    return [int(np.flatnonzero(found == letter)[0]) for letter in wanted if (found == letter).any()]


def letter_grid(letters: LetterSet, wanted: Sequence[str], columns: int = 6) -> Figure:
    """The paper's figure 1: an example of each letter."""
    places = first_of_each(letters, wanted)
    images = [letters.images[i] for i in places]
    figure = _pictures(images, letters.letters[places], columns, cmap="gray", vmin=0, vmax=255)
    return _caption(figure, f"Data: {letters.name}")


def image_grid(
    images: np.ndarray, titles: Sequence[str], caption: str, limits: tuple[float, float], colors: str = "gray"
) -> Figure:
    """The paper's figures 2 and 3: preprocessed grey images (N, H, W) with the scale of their values."""
    figure = _pictures(images, titles, min(6, len(images)), cmap=colors, vmin=limits[0], vmax=limits[1])
    figure.colorbar(figure.axes[0].images[0], ax=figure.axes, label="value", shrink=0.8)
    return _caption(figure, caption)


def picture_grid(
    images: Sequence[np.ndarray], titles: Sequence[str], caption: str, columns: int = 6, size: float = 1.6
) -> Figure:
    """Pictures side by side, (H, W) grey or (H, W, 3) RGB uint8, with a title each, ``size`` inches wide."""
    return _caption(_pictures(images, titles, columns, size, cmap="gray", vmin=0, vmax=255), caption)


def source_grid(letters: LetterSet, wanted: Sequence[str]) -> Figure:
    """An example of each letter from each source, one row a source."""
    images, titles = [], []
    for source, table in letters.table.groupby("source"):
        for letter in wanted:
            places = table.index[table["label"] == letter]
            images.append(
                letters.images[places[len(places) // 2]] if len(places) else np.full((1, 1, 3), 255, np.uint8)
            )
            titles.append(f"{letter} · {source}" if letter == wanted[0] else letter)
    return picture_grid(images, titles, f"Data: {letters.name}", len(wanted), 1.3)


def mean_image_figure(mean: np.ndarray, caption: str) -> Figure:
    """The paper's figure 4: the average of all training images, (H, W) in 0..1."""
    figure, axis = _figure(4.2, 4)
    shown = axis.imshow(mean, cmap="gray", vmin=0, vmax=1)
    axis.set(xlabel="column (pixel)", ylabel="row (pixel)")
    figure.colorbar(shown, ax=axis, label="mean brightness (0 black, 1 white)", shrink=0.8)
    return _caption(figure, caption)


def landmark_grid(images: Sequence[np.ndarray], hands: Sequence[Hand | None], titles, caption: str) -> Figure:
    """The paper's figure 5: photos with the 21 landmarks drawn on the hand."""
    figure = _pictures([draw_hand(i, h) for i, h in zip(images, hands, strict=True)], titles, 6, 1.6)
    return _caption(figure, caption)


def distribution(sets: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """The paper's figure 6: images a letter, stacked by part of the 60/30/10 split.

    Parameters
    ----------
    sets
        Name of a set -> (letters (N,), parts (N,) of "train", "valid", "test").
    """
    figure, axes = _figure(9, 2.9 * len(sets), len(sets), 1, squeeze=False)
    for axis, (name, (letters, part)) in zip(axes.flat, sets.items(), strict=True):
        counts = pd.crosstab(letters, part)
        bottom = np.zeros(len(counts))
        for column, color, hatch in (("train", BLUE, ""), ("valid", "#E69F00", "//"), ("test", "#BBBBBB", "..")):
            label = f"{column} {np.mean(part == column):.0%}"
            values = counts.get(column, pd.Series(0, counts.index))
            axis.bar(counts.index, values, bottom=bottom, color=color, hatch=hatch, edgecolor="white", label=label)
            bottom += values.to_numpy()
        axis.set(title=f"{name}: {len(letters):,} images", ylabel="images", xlabel="letter")
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def pixel_vs_landmarks(runs: Mapping[str, tuple[History, History]], caption: str) -> Figure:
    """The paper's figure 7: validation accuracy over epochs, pixel network green, landmark network blue.

    Parameters
    ----------
    runs
        Name of a preset -> (history of the pixel network, history of the landmark network); one panel each.
    """
    figure, axes = _figure(5 * len(runs), 4, 1, len(runs), squeeze=False, sharey=True)
    for axis, (name, pair) in zip(axes.flat, runs.items(), strict=True):
        for history, label, color, marker in zip(pair, ("pixels", "landmarks"), (GREEN, BLUE), "os", strict=True):
            epochs = np.arange(1, len(history) + 1)
            every = max(1, len(history) // 10)
            axis.plot(epochs, history.valid_accuracy, color=color, marker=marker, markevery=every, label=label)
            axis.plot(epochs, history.train_accuracy, color=color, linestyle=":", label=f"{label}, training")
        axis.set(title=name, xlabel="epoch", ylim=(0, 1.02))
        axis.grid(alpha=0.3)
    axes.flat[0].set_ylabel("accuracy")
    axes.flat[-1].legend(loc="lower right")
    return _caption(figure, caption)


def all_models(curves: Mapping[str, Mapping[str, Sequence[float]]], chance: float, caption: str) -> Figure:
    """The paper's figure 8: validation accuracy of every model trained.

    Parameters
    ----------
    curves
        Panel -> name of a run -> validation accuracy after each epoch.
    chance
        Accuracy of guessing in the first panel's alphabet.
    """
    figure, axes = _figure(5.2 * len(curves), 4.4, 1, len(curves), squeeze=False, sharey=True)
    palette = ("#0072B2", "#009E73", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
    for axis, (panel, runs) in zip(axes.flat, curves.items(), strict=True):
        for number, (name, accuracy) in enumerate(runs.items()):
            style = {"color": palette[number % 8], "marker": MARKERS[number % 8], "markersize": 5}
            axis.plot(np.arange(1, len(accuracy) + 1), accuracy, label=name, **style)
        axis.axhline(chance, color=GRAY, linestyle="--", linewidth=1)
        where = {"ha": "right", "va": "top", "transform": axis.get_yaxis_transform()}
        axis.text(0.99, chance - 0.015, f"guessing, {round(1 / chance)} letters", color=GRAY, fontsize=9, **where)
        axis.set(title=panel, xlabel="epoch", ylim=(0, 1.02))
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        axis.legend(loc="upper left", bbox_to_anchor=(0, -0.18), ncols=2, fontsize=9, frameon=False)
    axes.flat[0].set_ylabel("validation accuracy")
    return _caption(figure, caption)


def confusion_matrix(matrix: np.ndarray, alphabet: Sequence[str], caption: str) -> Figure:
    """Truth against reading, (L, L + 1) counts."""
    shares = matrix / np.maximum(1, matrix.sum(1, keepdims=True))
    columns = [*alphabet, NO_HAND]
    figure, axis = _figure(9, 8)
    shown = axis.imshow(shares, cmap="Blues", vmin=0, vmax=max(0.1, float(np.sort(shares, axis=None)[-1])))
    for i, j in np.argwhere(matrix > 0):
        dark = shares[i, j] > 0.6
        axis.text(j, i, matrix[i, j], ha="center", va="center", fontsize=7, color="white" if dark else "black")
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(alphabet)), alphabet)
    axis.set(xlabel=f"read as ('{NO_HAND}' no hand found)", ylabel="shown")
    figure.colorbar(shown, ax=axis, label="share of the letter's images", shrink=0.7)
    return _caption(figure, caption)


def accuracy_bars(table: pd.DataFrame, caption: str) -> Figure:
    """Accuracies with 95 % intervals as horizontal bars.

    Parameters
    ----------
    table
        Columns ``name, accuracy, low, high`` and ``network`` ("pixel" green, "landmark" and "default" blue, else grey).
    """
    figure, axis = _figure(8.5, 0.42 * len(table) + 1.2)
    colors = [{"pixel": GREEN, "landmark": BLUE, "default": BLUE}.get(network, GRAY) for network in table["network"]]
    places = np.arange(len(table))
    error = np.abs(np.stack([table["accuracy"] - table["low"], table["high"] - table["accuracy"]]))
    axis.barh(places, 100 * table["accuracy"], xerr=100 * error, color=colors, capsize=3, height=0.65)
    axis.set_yticks(places, table["name"])
    axis.invert_yaxis()
    for place, (accuracy, high) in enumerate(zip(table["accuracy"], table["high"], strict=True)):
        axis.text(100 * max(accuracy, high) + 1, place, f"{100 * accuracy:.1f}", va="center")
    axis.set(xlim=(0, 112), xticks=range(0, 101, 20), xlabel="right, % (bar), and its 95 % interval")
    axis.grid(axis="x", alpha=0.3)
    return _caption(figure, caption)


def reliability_figure(table: pd.DataFrame, caption: str, least: int = 10) -> Figure:
    """How often a reader is right when it is so sure; on the dashed line it is as sure as it should be.

    Parameters
    ----------
    table
        Columns ``confidence, accuracy`` (shares) and ``n``, one row a range of confidence.
    least
        Rows of fewer are left out: chance would draw spikes.
    """
    figure, axis = _figure(5, 4.2)
    axis.plot([0, 1], [0, 1], color=GRAY, linestyle="--", label="as sure as right")
    table = table[table["n"] >= least]
    axis.plot(table["confidence"], table["accuracy"], color=BLUE, marker="o", label="measured")
    for confidence, accuracy, n in table[["confidence", "accuracy", "n"]].itertuples(index=False):
        place = {"xytext": (7, -10), "textcoords": "offset points"}
        axis.annotate(f"{n:,.0f}", (confidence, accuracy), fontsize=8, **place)
    axis.set(xlabel="confidence", ylabel="share that is right", xlim=(0, 1.16), ylim=(0, 1.04))
    axis.set_xticks(np.linspace(0, 1, 6))
    axis.grid(alpha=0.3)
    axis.legend(loc="upper left")
    return _caption(figure, f"{caption}\nNumbers: photos in a range; ranges of fewer than {least} are left out")


def steps_figure(table: pd.DataFrame, caption: str) -> Figure:
    """What each normalisation step buys.

    Parameters
    ----------
    table
        Column ``step``, and one column of accuracies for each line, named as the legend shall name it.
    """
    figure, axis = _figure(8, 4)
    places = np.arange(len(table))
    styles = zip((BLUE, ORANGE, GREEN, GRAY), "osD^", ("-", "--", "-.", ":"), strict=True)
    for name, (color, marker, line) in zip(table.columns.drop("step"), styles, strict=False):
        axis.plot(places, table[name], color=color, marker=marker, linestyle=line, label=name)
    axis.set_xticks(places, table["step"])
    lowest = float(table.drop(columns="step").to_numpy().min())
    axis.set(xlabel="normalisation steps, added from left to right", ylabel="accuracy", ylim=(0.8 * lowest, 1.02))
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right")
    return _caption(figure, caption)


def turns_figure(table: pd.DataFrame, limit: float, caption: str) -> Figure:
    """What becomes of letters when the hand is turned in the image plane.

    Parameters
    ----------
    table
        Columns ``turn`` in degrees, ``shown`` and ``read``, letters, and ``share``: of the photos of ``shown``, turned
        so far, how many are read as ``read``. One panel for each letter shown.
    limit
        Largest turn of the augmentation, degrees; the range is shaded.
    """
    panels = list(table["shown"].unique())
    rows = -(-len(panels) // 2)
    figure, axes = _figure(8, 2.3 * rows + 0.3, rows, 2, squeeze=False, sharex=True, sharey=True)
    for axis, shown in zip(axes.flat, panels, strict=False):
        axis.axvspan(-limit, limit, color=GRAY, alpha=0.15, linewidth=0)
        for letter in sorted(table.loc[table["shown"] == shown, "read"].unique(), key=lambda read: read != shown):
            part = table[(table["shown"] == shown) & (table["read"] == letter)]
            same = letter == shown
            style = {"color": BLUE, "marker": "o"} if same else {"color": ORANGE, "marker": "s", "linestyle": "--"}
            axis.plot(part["turn"], part["share"], label=f"read as {letter}", markersize=4, **style)
        axis.set(title=f"{shown}, turned", ylim=(-0.04, 1.04))
        axis.set_xticks(range(-90, 91, 30))
        axis.grid(alpha=0.3)
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    for axis in axes[-1]:
        axis.set_xlabel("degrees (clockwise)")
    for axis in axes[:, 0]:
        axis.set_ylabel("share of photos")
    return _caption(figure, caption)


def tuning_history(summary: Mapping[str, Any]) -> Figure:
    """Losses of a search in the order of its trials, and the lowest so far.

    Parameters
    ----------
    summary
        Of ``asl tune``, see ``asllib.tuning.summarise``.
    """
    rows = pd.DataFrame(summary["history"]).dropna(subset="value")
    figure, axis = _figure(7, 3.6)
    for state, color, marker in (("complete", BLUE, "o"), ("pruned", GRAY, "x")):
        part = rows[rows["state"] == state]
        axis.plot(
            part["number"], part["value"], color=color, marker=marker, linestyle="", label=f"{state}: {len(part)}"
        )
    done = rows[rows["state"] == "complete"].sort_values("number")
    axis.step(done["number"], done["value"].cummin(), color=ORANGE, where="post", label="lowest so far")
    if summary["preset_value"] is not None:
        axis.axhline(summary["preset_value"], color=GREEN, linestyle="--", label="the preset")
    axis.set(xlabel="trial", ylabel="validation loss", yscale="log")
    axis.yaxis.set_major_formatter("{x:.2g}")
    axis.yaxis.set_minor_formatter("{x:.2g}")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3, which="both")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return _caption(figure, _search_of(summary))


def tuning_importance(summary: Mapping[str, Any]) -> Figure:
    """Share of the difference between good trials and the others that each setting explains, see ``tuning_history``."""
    shares = summary["importance"]
    figure, axis = _figure(7, 0.35 * len(shares) + 1.2)
    axis.barh(list(shares), list(shares.values()), color=BLUE, height=0.65)
    axis.invert_yaxis()
    axis.set(xlabel="importance, share", xlim=(0, 1.1 * max(shares.values(), default=1)))
    axis.grid(axis="x", alpha=0.3)
    return _caption(figure, f"{_search_of(summary)}, {summary['complete']} of them complete")


def _search_of(summary: Mapping[str, Any]) -> str:
    return f"Data: {summary['data']['name']}; {summary['trials']} trials of at most {summary['epochs']} epochs"


def film_strip(frames: Sequence[np.ndarray], titles: Sequence[str], caption: str) -> Figure:
    """Frames of a film in a row, each with what is shown in it."""
    return _caption(_pictures(frames, titles, len(frames), 2.2), caption)


def letter_timeline(
    times: np.ndarray,
    probabilities: np.ndarray,
    letters: Sequence[str],
    held: Sequence[str],
    read: Sequence,
    title: str,
) -> Figure:
    """What a network says as a word is spelled: probabilities over time, what is held below, what is read above.

    Parameters
    ----------
    times
        (T,) seconds.
    probabilities
        (T, L) of the letters that are shown.
    letters
        The L letters.
    held
        (T,) the letter that is held at each time, "" for none.
    read
        ``ReadLetter`` s: each is drawn where it was written.
    """
    figure, axis = _figure(9, 0.32 * len(letters) + 1.6)
    edges = (times[0], times[-1], len(letters) - 0.5, -0.5)
    axis.imshow(probabilities.T, aspect="auto", extent=edges, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axis.set_yticks(range(len(letters)), letters)
    for row, letter in enumerate(letters):
        for start, end in _runs(np.array(held) == letter):
            axis.plot(times[[start, end]], [row + 0.42] * 2, color=ORANGE, lw=3, solid_capstyle="butt")
    for one in read:
        axis.annotate(
            one.letter, (one.end_s, -0.5), (one.end_s, -1.1), ha="center", fontsize=12, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": GRAY},
        )  # fmt: skip
    axis.set(xlabel="seconds", ylabel="letter")
    figure.colorbar(axis.images[0], ax=axis, label="probability", ticks=[0, 0.5, 1], fraction=0.03, pad=0.02)
    return _caption(figure, title)


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """First and last position of each run of True."""
    edges = np.flatnonzero(np.diff(mask.astype(int), prepend=0, append=0))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def stroke_paths(paths: Mapping[str, Sequence[np.ndarray]], title: str, columns: int = 6) -> Figure:
    """Ways of fingertips in the picture: one row a kind of stroke, each path (T, 2) with y downwards."""
    figure, axes = _figure(1.5 * columns, 1.6 * len(paths) + 0.3, len(paths), columns, squeeze=False)
    for row, (name, some) in zip(axes, paths.items(), strict=True):
        for axis in row:
            axis.axis("off")
        for axis, path in zip(row, some, strict=False):
            axis.plot(path[:, 0], path[:, 1], color=BLUE, marker=".", ms=4)
            axis.plot(*path[0], color=GREEN, marker="o")
            axis.set_aspect("equal")
            axis.invert_yaxis()
        row[0].set_title(name, loc="left", fontsize=10)
    return _caption(figure, title)


def error_rates(speeds: Mapping[str, Mapping[str, Any]], title: str) -> Figure:
    """Character error rate against letters a second, before and after the lexicon, with the interval of the raw one."""
    figure, axis = _figure(5.5, 3.4)
    x = [float(speed) for speed in speeds]
    for key, name, color, marker in (
        ("cer", "raw letters", BLUE, "o"),
        ("cer_lexicon", "after a lexicon that holds every word", GREEN, "s"),
    ):
        axis.plot(x, [100 * line[key] for line in speeds.values()], color=color, marker=marker, label=name)
    low, high = 100 * np.array([line["interval"] for line in speeds.values()]).T
    axis.vlines(x, low, high, color=BLUE, lw=1.5, alpha=0.5)
    axis.axhline(10, color=GRAY, ls="--", lw=1)
    axis.annotate("one letter in ten", (x[0], 10), xytext=(0, 3), textcoords="offset points", color=GRAY, fontsize=9)
    axis.set(
        xlabel="letters a second", ylabel="character error rate, %", ylim=(0, max(11.5, 1.05 * high.max())), xticks=x
    )
    axis.legend(loc="upper left", bbox_to_anchor=(0, -0.18), ncols=2, frameon=False)
    return _caption(figure, title)


def growth_curves(series: Mapping[str, Mapping[str, Any]], caption: str) -> Figure:
    """Processor time and peak memory against the work, each with its exponent.

    Parameters
    ----------
    series
        Name: ``rows`` of ``items``, ``cpu_s``, ``peak_mb`` and ``worker_peak_mb``, and ``cpu_exponent`` and
        ``memory_exponent`` of the log-log fits.
    """
    figure, axes = _figure(11, 4.6, 1, 2)
    styles = [(color, dash) for dash in ("-", "--") for color in (GREEN, BLUE, ORANGE, GRAY)]
    for number, (name, one) in enumerate(series.items()):
        items = [row["items"] for row in one["rows"]]
        color, dash = styles[number % len(styles)]
        for axis, kind, values in (
            (axes[0], "cpu", [row["cpu_s"] for row in one["rows"]]),
            (axes[1], "memory", [max(row["peak_mb"], row["worker_peak_mb"]) for row in one["rows"]]),
        ):
            label = f"{name}, n^{round(one[f'{kind}_exponent'], 2) + 0:.2f}"
            axis.loglog(items, values, dash, color=color, marker=MARKERS[number % len(MARKERS)], label=label)
    axes[0].set(xlabel="photos, rows or frames", ylabel="processor time, s")
    axes[1].set(xlabel="photos, rows or frames", ylabel="peak memory of the largest process, MB", ylim=(50, 5000))
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, loc="upper left", frameon=False)
    axes[0].set_ylim(top=axes[0].get_ylim()[1] * 100)  # room for the legend
    return _caption(figure, caption)


def stroke_strip(films: Sequence[SignedWord], tips: Sequence[int], caption: str, moments: int = 8) -> Figure:
    """Films of moving letters, one row a film: moments of the stroke with the way of one landmark so far."""
    figure, axes = _figure(1.5 * moments, 1.7 * len(films) + 0.3, len(films), moments, squeeze=False)
    for row, film, tip in zip(axes, films, tips, strict=True):
        shown = np.flatnonzero(film.positions >= 0)
        path = film.landmarks[shown, tip, :2] * np.array(film.frames.shape[2:0:-1])
        for axis, k in zip(row, np.linspace(0, len(shown) - 1, moments).round().astype(int), strict=True):
            axis.axis("off")
            axis.imshow(film.frames[shown[k]])
            axis.plot(*path[: k + 1].T, color=ORANGE, lw=2)
            axis.set_title(f"{film.word} · {(shown[k] - shown[0]) / film.fps:.1f} s", fontsize=10)
    return _caption(figure, caption)
