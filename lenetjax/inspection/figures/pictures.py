"""Pictures of images, and of mistakes."""

from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from lenetjax.inspection.figures import drawing
from lenetjax.inspection.figures.arguments import class_numbers, finite
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
      >>> from lenetjax.inspection import figures
      >>> figure = figures.images(np.eye(8).reshape(1, 8, 8, 1), [3], [5])
      >>> figure.axes[0].get_title()
      '5, not 3'
    """
    pictures = finite("images", images)
    if pictures.ndim != 4 or pictures.shape[-1] not in (1, 3):
        raise ValueError(
            "images must be (n, height, width, channels) with 1 or 3 channels, "
            f"got {pictures.shape}"
        )
    known = None if labels is None else class_numbers("labels", labels)
    guessed = None if predictions is None else class_numbers("predictions", predictions)
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
