"""Pictures of how a training went, and of what a net takes for what."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lenetjax.inspection.figures import drawing
from lenetjax.inspection.figures.arguments import class_numbers
from lenetjax.inspection.figures.drawing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CLASSES = 100
COLORS = {"train": drawing.BLUE, "test": drawing.ORANGE}


def learning_curve(
    history: Sequence[Mapping[str, float]], example: str = "image"
) -> "Figure":
    """Draws loss and accuracy by epoch, in training and on test images.

    The last values stand at the ends of the lines. A panel without numbers is left
    out.

    Args:
      history: a dict for each epoch, as `lenetjax.fit` returns them: epoch, and any of
        train_loss, test_loss, train_accuracy, test_accuracy (0 to 1).
      example: what one of those is called that the means are over.

    Raises:
      ValueError: there are no epochs, or nothing to draw.
      ImportError: matplotlib is missing.

    Example:
      >>> from lenetjax.inspection import figures
      >>> figure = figures.learning_curve([{"epoch": 1, "train_loss": 2.3}])
      >>> [axes.get_title() for axes in figure.axes]
      ['Loss']
    """
    if not history or not all("epoch" in row for row in history):
        raise ValueError(
            "history must be a list with a dict for each epoch, as fit returns it, "
            "and at least one"
        )
    drawn = [
        measure
        for measure in ("loss", "accuracy")
        if any(
            f"{part}_{measure}" in row for part in ("train", "test") for row in history
        )
    ]
    if not drawn:
        raise ValueError(
            "history must have train_loss, test_loss, train_accuracy or test_accuracy, "
            f"got {', '.join(history[0])}"
        )
    figure = drawing.blank(4.6 * len(drawn), 3.2)
    panels = figure.subplots(1, len(drawn), squeeze=False)
    for axes, measure in zip(panels[0], drawn, strict=True):
        _curves(axes, history, measure, example)
    return figure


def confusion_matrix(
    labels: ArrayLike, predictions: ArrayLike, classes: int = 10
) -> "Figure":
    """Draws how often each class was taken for each, with the accuracy above.

    Rows are the true classes, columns the predicted ones, and cells count images; an
    empty cell is 0. The right ones are blue, by their share of the row, and the wrong
    ones orange, by their number.

    Args:
      labels: the right classes, ints (n,) from 0 to classes - 1.
      predictions: the predicted classes, ints (n,), likewise.
      classes: how many classes there are, up to 100.

    Raises:
      ValueError: labels and predictions are not such ints or differ in number, or there
        are none.
      ImportError: matplotlib is missing.

    Example:
      >>> from lenetjax.inspection import figures
      >>> figure = figures.confusion_matrix([0, 1, 1, 1], [0, 1, 1, 0], classes=2)
      >>> figure.axes[0].get_title()
      'Accuracy 75.0%: 3 of 4 right'
    """
    if not 2 <= classes <= MOST_CLASSES:
        raise ValueError(f"classes must be from 2 to {MOST_CLASSES}, got {classes}")
    true, guessed = (
        class_numbers("labels", labels),
        class_numbers("predictions", predictions),
    )
    if len(true) != len(guessed) or not len(true):
        raise ValueError(
            "labels and predictions must be equally many, and at least one, got "
            f"{len(true)} and {len(guessed)}"
        )
    for name, given in (("labels", true), ("predictions", guessed)):
        if given.min() < 0 or given.max() >= classes:
            raise ValueError(
                f"{name} must be from 0 to {classes - 1}, "
                f"got {given.min()} to {given.max()}"
            )
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (true, guessed), 1)
    figure = drawing.blank(max(1.2 + 0.4 * classes, 3.2), 1.2 + 0.4 * classes)
    _counts(figure.subplots(), counts)
    return figure


def _curves(
    axes: "Axes", history: Sequence[Mapping[str, float]], measure: str, example: str
) -> None:
    """Draws one measure by epoch, training and test; the ends say the last values."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    percent = measure == "accuracy"
    ends = {}
    for part, color in COLORS.items():
        points = [
            (row["epoch"], row[f"{part}_{measure}"])
            for row in history
            if f"{part}_{measure}" in row
        ]
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(
                x,
                y,
                color=color,
                marker="o",
                markersize=4,
                markevery=[-1],
                clip_on=False,
            )
            ends[part] = y[-1]
    axes.set_title(measure.capitalize())
    axes.set_xlabel("epoch")
    right, mean = f"{example}s classified correctly", f"mean loss per {example}"
    axes.set_ylabel(right if percent else mean)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len({row["epoch"] for row in history}) == 1:
        axes.set_xlim(history[0]["epoch"] - 1, history[0]["epoch"] + 1)
    if percent:
        axes.set_ylim(top=min(1.0, axes.get_ylim()[1]) + 0.002)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    else:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.grid(color="#E5E5E5", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    for part, height in _apart(ends, *axes.get_ylim()).items():
        value = f"{ends[part]:.1%}" if percent else f"{ends[part]:.3g}"
        axes.text(
            1.02, height, f"{part} {value}", transform=axes.transAxes,
            color=COLORS[part], va="center", size=9,
        )  # fmt: skip


def _apart(ends: Mapping[str, float], low: float, high: float) -> dict[str, float]:
    """Heights for the labels of line ends, from 0 to 1, none upon another."""
    room = 0.08
    heights: dict[str, float] = {}
    below = -room
    for part in sorted(ends, key=lambda part: ends[part]):
        height = (ends[part] - low) / (high - low)
        height = height if np.isfinite(height) else 1.0
        heights[part] = below = max(height, below + room)
    return heights


def _counts(axes: "Axes", table: Array) -> None:
    """Draws a confusion matrix: right ones blue by share, others orange by number."""
    classes = len(table)
    diagonal = np.eye(classes, dtype=bool)
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    wrong = table / max(table[~diagonal].max(), 1)
    # Half of each colour map is light enough for dark figures.
    axes.imshow(np.ma.masked_where(~diagonal, share), cmap="Blues", vmin=0, vmax=2)
    hidden = diagonal | (table == 0)
    axes.imshow(np.ma.masked_where(hidden, wrong + 0.3), cmap="Oranges", vmin=0, vmax=2)
    for row, column in np.argwhere(table > 0):
        axes.text(
            column, row, f"{table[row, column]:,}", ha="center", va="center", size=8,
            color="black",
        )  # fmt: skip
    axes.set_xticks(range(classes))
    axes.set_yticks(range(classes))
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(classes - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(classes - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="#E5E5E5", linewidth=0.8)
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    right, total = int(table.trace()), int(table.sum())
    axes.set_title(
        f"Accuracy {right / total:.1%}: {right:,} of {total:,} right", size=11
    )
