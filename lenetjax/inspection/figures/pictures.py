"""Pictures of images, and of mistakes."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lenetjax.inspection.figures import drawing
from lenetjax.inspection.figures.arguments import (
    class_names,
    class_numbers,
    finite,
    one_for_each,
    pixels,
)
from lenetjax.inspection.figures.drawing import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
      >>> import numpy as np
      >>> from lenetjax.inspection import figures
      >>> figure = figures.images(np.eye(8).reshape(1, 8, 8, 1), [3], [5])
      >>> figure.axes[0].get_title()
      '5, not 3'
    """
    pictures = pixels(images)
    known = one_for_each("labels", labels, len(pictures))
    guessed = one_for_each("predictions", predictions, len(pictures))
    names = class_names(known, guessed, len(pictures))
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


def mistakes(
    images: ArrayLike, labels: ArrayLike, logits: ArrayLike, n: int = 16
) -> "Figure":
    """Draws the most confidently wrong images, the most confident one first.

    Above each stand the predicted class with its probability, and the right class.

    Args:
      images: as in `images`.
      labels: the right classes, ints (n,).
      logits: the net's outputs (n, classes), before any softmax.
      n: how many to draw, at most; 256 at most.

    Raises:
      ValueError: shapes do not fit, values are not finite, labels are no classes of the
        logits, or there are no images.
      ImportError: matplotlib is missing.

    Example:
      >>> import numpy as np
      >>> from lenetjax.inspection import figures
      >>> logits = [[0.0, 2.0], [9.0, 0.0]]
      >>> figure = figures.mistakes(np.ones((2, 8, 8, 1)), [0, 0], logits)
      >>> [axes.get_title() for axes in figure.axes]
      ['88% 1, is 0']
    """
    pictures = pixels(images)
    known = class_numbers("labels", labels)
    one_for_each("labels", known, len(pictures))
    scores = finite("logits", logits)
    if scores.ndim != 2 or len(scores) != len(pictures) or not scores.size:
        raise ValueError(
            f"logits must be (n, classes) for n = {len(pictures)} images, at least "
            f"one, got {scores.shape}"
        )
    classes = scores.shape[1]
    if known.min() < 0 or known.max() >= classes:
        raise ValueError(
            f"labels must be from 0 to {classes - 1}, got {known.min()} to "
            f"{known.max()}"
        )
    guessed, confidence = scores.argmax(1), _softmax(scores).max(1)
    wrong = np.flatnonzero(guessed != known)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:n]
    title = _mistakes_title(len(shown), len(wrong), len(pictures))
    if not len(wrong):
        return drawing.notice(title)
    figure, axes = drawing.grid(
        len(shown), pictures.shape[1:3], inches=1.1, columns=8, title=title
    )
    for tile, i in zip(axes, shown, strict=True):
        tile.imshow(pictures[i], cmap="gray_r", vmin=0, vmax=1)
        sure = drawing.percent(confidence[i])
        drawing.name(tile, f"{sure} {guessed[i]}, is {known[i]}")
    return figure


def _images_title(known: Array | None, guessed: Array | None) -> str:
    if known is not None and guessed is not None:
        right = int((known == guessed).sum())
        return f"Predicted class: {right} of {len(known)} right"
    if known is not None:
        return "True class"
    return "Images" if guessed is None else "Predicted class"


def _mistakes_title(shown: int, wrong: int, total: int) -> str:
    images = "image" if total == 1 else "images"
    if not wrong:
        return f"No mistake in {total:,} {images}"
    title = f"{wrong:,} {'mistake' if wrong == 1 else 'mistakes'} in {total:,} {images}"
    if shown < wrong:
        return f"{title}; the {shown} most confident"
    return f"{title}, the most confident first" if wrong > 1 else title


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    shares: Array = powers / powers.sum(1, keepdims=True)
    return shares
