"""Pictures of images, filters, feature maps, training and mistakes.

Each function returns a `matplotlib.figure.Figure` of its own and leaves pyplot alone:
end a notebook cell with it, or keep it with ``figure.savefig("digits.png")``.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lenetjax.inspection import drawing
from lenetjax.inspection.drawing import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CLASSES = 100


def images(
    images: ArrayLike,
    labels: ArrayLike | None = None,
    predictions: ArrayLike | None = None,
    *,
    columns: int = 8,
    title: str | None = None,
) -> "Figure":
    """Draws images in a grid, ink dark on white, each under its class.

    Args:
      images: (n, height, width, 1) with ink high, or (n, height, width, 3) for RGB.
        One scale for all: 0 to 1, or wider where values lie outside.
      labels: the right classes, ints (n,).
      predictions: the predicted classes, ints (n,). With labels too, wrong ones are
        orange and say both.
      columns: images in a row.
      title: in place of the title that explains the numbers.

    Raises:
      ValueError: shapes do not fit, values are not finite, or there are no images, or
        more than 256.
      ImportError: matplotlib is missing.

    Example:
      >>> from lenetjax.inspection import figures
      >>> figure = figures.images(np.eye(8).reshape(1, 8, 8, 1), [3], [5])
      >>> figure.axes[0].get_title()
      '5, not 3'
    """
    pictures = _floats("images", images)
    if pictures.ndim != 4 or pictures.shape[-1] not in (1, 3):
        raise ValueError(
            "images must be (n, height, width, channels) with 1 or 3 channels, "
            f"got {pictures.shape}"
        )
    known = None if labels is None else _classes("labels", labels)
    guessed = None if predictions is None else _classes("predictions", predictions)
    for name, given in (("labels", known), ("predictions", guessed)):
        if given is not None and len(given) != len(pictures):
            raise ValueError(
                f"{name} must have one entry for each of the {len(pictures)} images, "
                f"got {len(given)}"
            )
    low, high = min(0, pictures.min(initial=0)), max(1, pictures.max(initial=1))
    pictures = (pictures - low) / (high - low)
    if pictures.shape[-1] == 1:
        pictures = pictures[..., 0]
    names = _names(known, guessed, len(pictures))
    figure, axes = drawing.grid(
        len(pictures),
        pictures.shape[1:3],
        inches=0.85,
        columns=columns,
        named=known is not None or guessed is not None,
        title=_images_title(known, guessed) if title is None else title,
    )
    for tile, picture, (name, wrong) in zip(axes, pictures, names, strict=True):
        tile.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
        drawing.name(tile, name, wrong=wrong)
    return figure


def filters(weight: ArrayLike, *, title: str = "Filters") -> "Figure":
    """Draws a convolution's filters: blue below zero, white at zero, red above.

    One scale, symmetric about zero, holds for all. With several input channels, each
    has a row and each output channel a column.

    Args:
      weight: a convolution's weight (kernel height, kernel width, in, out).
      title: what stands above.

    Raises:
      ValueError: the axes are others, values are not finite, or there are no filters,
        or more than 256.
      ImportError: matplotlib is missing.

    Example:
      >>> from lenetjax.inspection import figures
      >>> figure = figures.filters(np.ones((3, 3, 1, 6)), title="conv1")
      >>> figure.axes[5].get_title()
      'out 5'
    """
    kernels = _floats("weight", weight)
    if kernels.ndim != 4:
        raise ValueError(
            "weight must be a convolution's, (kernel height, kernel width, in, out), "
            f"got {kernels.shape}"
        )
    *kernel, n_in, n_out = kernels.shape
    kernels = kernels.transpose(2, 3, 0, 1).reshape(-1, *kernel)
    figure, axes = drawing.grid(
        len(kernels),
        kernel,
        inches=0.9 if n_in == 1 else 0.5,
        columns=8 if n_in == 1 else n_out,
        title=title,
        left=0.1 if n_in == 1 else 0.5,
        named=True if n_in == 1 else "first row",
        scale=True,
    )
    drawing.fill(figure, axes, kernels, of="weight", signed=True)
    for i, tile in enumerate(axes[:n_out]):
        drawing.name(tile, f"out {i}")
    if n_in > 1:
        drawing.rows(axes[::n_out], [f"in {i}" for i in range(n_in)])
    return figure


def feature_maps(maps: ArrayLike, title: str = "Feature maps") -> "Figure":
    """Draws the maps that a layer makes of one image, all on one scale.

    Values that are nowhere negative, such as those behind a ReLU, go from white at
    zero to dark blue; others from blue below zero to red above.

    Args:
      maps: one image's maps (height, width, channels).
      title: what stands above.

    Raises:
      ValueError: the axes are others, values are not finite, or there are no maps, or
        more than 256.
      ImportError: matplotlib is missing.

    Example:
      >>> from lenetjax.inspection import figures
      >>> figure = figures.feature_maps(np.ones((30, 30, 6)), "relu1")
      >>> figure.get_suptitle()
      'relu1'
    """
    values = _floats("maps", maps)
    if values.ndim != 3:
        raise ValueError(
            f"maps must be one image's, (height, width, channels), got {values.shape}; "
            "of a batch, give maps[0]"
        )
    values = values.transpose(2, 0, 1)
    figure, axes = drawing.grid(
        len(values), values.shape[1:], inches=1.1, columns=8, title=title, scale=True
    )
    signed = bool((values < 0).any())
    drawing.fill(figure, axes, values, of="activation", signed=signed)
    for i, tile in enumerate(axes):
        drawing.name(tile, f"channel {i}")
    return figure


def learning_curve(history: Sequence[Mapping[str, float]]) -> "Figure":
    """Draws loss and accuracy by epoch, on training and test images.

    The last values stand at the ends of the lines. A panel without numbers is left
    out.

    Args:
      history: a dict for each epoch, as `lenetjax.fit` returns them: epoch, and any of
        train_loss, test_loss, train_accuracy, test_accuracy (0 to 1).

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
        drawing.curves(axes, history, measure)
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
    true, guessed = _classes("labels", labels), _classes("predictions", predictions)
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
    drawing.counts(figure.subplots(), counts)
    return figure


def _floats(name: str, values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, and has NaN or infinity in it")
    return array


def _classes(name: str, values: ArrayLike) -> Array:
    array = np.asarray(values)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"{name} must be class numbers, ints (n,), got {array.dtype}{array.shape}; "
            "of logits, take logits.argmax(-1)"
        )
    return array


def _names(
    known: Array | None, guessed: Array | None, n: int
) -> list[tuple[str, bool]]:
    """What stands above each image, and whether it is a mistake."""
    if known is not None and guessed is not None:
        return [
            (f"{guess}", False) if guess == label else (f"{guess}, not {label}", True)
            for guess, label in zip(guessed, known, strict=True)
        ]
    shown = known if known is not None else guessed
    return [("", False)] * n if shown is None else [(f"{c}", False) for c in shown]


def _images_title(known: Array | None, guessed: Array | None) -> str:
    if known is not None and guessed is not None:
        right = int((known == guessed).sum())
        return f"Predicted class: {right} of {len(known)} right"
    if known is not None:
        return "True class"
    return "Images" if guessed is None else "Predicted class"
