"""Pictures: what they show, what they refuse, and that they leave pyplot alone."""

import io
import sys

import numpy as np
import pytest

from lenetjax.inspection import figures

matplotlib = pytest.importorskip("matplotlib")

DIGITS = np.linspace(0, 1, 10 * 8 * 8).reshape(10, 8, 8, 1)
HISTORY = [
    {
        "epoch": epoch,
        "train_loss": 1 / epoch,
        "test_loss": 1.1 / epoch,
        "train_accuracy": 1 - 0.1 / epoch,
        "test_accuracy": 0.95 - 0.1 / epoch,
    }
    for epoch in range(1, 6)
]
PICTURES = {
    "images": lambda: figures.images(DIGITS),
    "images with labels": lambda: figures.images(DIGITS, range(10)),
    "images with mistakes": lambda: figures.images(DIGITS, range(10), [8] * 10),
    "color images": lambda: figures.images(np.full((2, 4, 6, 3), 0.5)),
    "filters": lambda: figures.filters(np.ones((3, 3, 1, 6))),
    "filters of many channels": lambda: figures.filters(np.ones((3, 3, 6, 16))),
    "tiny filters": lambda: figures.filters(np.full((3, 3, 3, 2), 1e-6)),
    "zero filters": lambda: figures.filters(np.zeros((3, 3, 1, 2))),
    "feature maps": lambda: figures.feature_maps(np.ones((30, 30, 6)), "relu1"),
    "a wide map": lambda: figures.feature_maps(-np.ones((4, 30, 1))),
    "learning curve": lambda: figures.learning_curve(HISTORY),
    "one epoch": lambda: figures.learning_curve(HISTORY[:1]),
    "confusion matrix": lambda: figures.confusion_matrix(range(10), range(10)),
    "two classes": lambda: figures.confusion_matrix([0, 1], [1, 1], classes=2),
}


def texts(figure):
    """Each axes' title and texts inside."""
    return [
        (axes.get_title(), [text.get_text() for text in axes.texts])
        for axes in figure.axes
    ]


@pytest.mark.parametrize("name", PICTURES)
def test_nothing_is_cut_off(name):
    """Every text lies inside of the picture, also when it is small."""
    figure = PICTURES[name]()
    figure.savefig(io.BytesIO(), format="png")
    whole = figure.bbox
    drawn = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    assert drawn.x0 >= whole.x0 - 1
    assert drawn.y0 >= whole.y0 - 1
    assert drawn.x1 <= whole.x1 + 1
    assert drawn.y1 <= whole.y1 + 1


def test_pyplot_is_left_alone():
    """No picture is registered with pyplot, which would keep it alive."""
    for picture in PICTURES.values():
        picture()
    if "matplotlib.pyplot" in sys.modules:
        assert not sys.modules["matplotlib.pyplot"].get_fignums()


def test_images_name_the_mistakes():
    """A wrong prediction stands beside the right class, and the title counts."""
    figure = figures.images(DIGITS[:3], np.array([1, 2, 3]), np.array([1, 7, 3]))
    assert [title for title, _ in texts(figure)] == ["1", "7, not 2", "3"]
    assert figure.get_suptitle() == "Predicted class: 2 of 3 right"


def test_images_share_one_scale():
    """A pale image stays pale beside a dark one; values over 1 widen the scale."""
    pale, dark = np.full((8, 8, 1), 0.2), np.full((8, 8, 1), 4.0)
    figure = figures.images(np.stack([pale, dark]))
    shown = [axes.images[0].get_array().max() for axes in figure.axes]
    np.testing.assert_allclose(shown, [0.05, 1.0])


def test_filters_are_in_order_on_a_scale_about_zero():
    """Rows are input channels, columns output channels; zero is the scale's middle."""
    weight = np.random.default_rng(0).normal(size=(3, 3, 2, 4))
    figure = figures.filters(weight)
    for i in range(8):
        drawn = figure.axes[i].images[0]
        np.testing.assert_array_equal(drawn.get_array(), weight[:, :, i // 4, i % 4])
        np.testing.assert_allclose(
            drawn.get_clim(), np.abs(weight).max() * np.array([-1, 1])
        )
    assert [axes.get_ylabel() for axes in figure.axes[:8:4]] == ["in 0", "in 1"]


def test_feature_maps_without_negative_values_start_at_zero():
    """Behind a ReLU the scale begins at zero; else it is symmetric about it."""
    maps = np.random.default_rng(0).random((5, 6, 3))
    assert figures.feature_maps(maps).axes[0].images[0].get_clim() == (0, maps.max())
    assert figures.feature_maps(-maps).axes[0].images[0].get_clim()[1] == maps.max()


def test_learning_curve_says_the_last_values():
    """Each line has its name and last value at its end, apart from the other's."""
    loss, accuracy = figures.learning_curve(HISTORY).axes
    assert {text.get_text() for text in loss.texts} == {"train 0.2", "test 0.22"}
    assert {t.get_text() for t in accuracy.texts} == {"train 98.0%", "test 93.0%"}
    heights = sorted(text.get_position()[1] for text in loss.texts)
    assert heights[1] - heights[0] > 0.07


def test_learning_curve_shows_a_run_that_failed():
    """A loss of NaN is a gap in the line, and said at its end."""
    rows = [{"epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": float("nan")}]
    (axes,) = figures.learning_curve(rows).axes
    assert [text.get_text() for text in axes.texts] == ["train nan"]


def test_confusion_matrix_counts():
    """Rows are true classes, columns predicted ones; empty cells are zero."""
    (axes,) = figures.confusion_matrix([0, 1, 1, 2], [0, 2, 2, 2], classes=3).axes
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "1", (2, 1): "2", (2, 2): "1"}
    assert axes.get_title() == "Accuracy 50.0%: 2 of 4 right"


BAD = {
    "expected axes": (lambda: figures.images(DIGITS[0]), "got (8, 8, 1)"),
    "no images": (lambda: figures.images(DIGITS[:0]), "got 0"),
    "too many": (lambda: figures.images(np.zeros((300, 8, 8, 1))), "from 1 to 256"),
    "no columns": (lambda: figures.images(DIGITS, columns=0), "at least 1, got 0"),
    "no pixels": (lambda: figures.images(np.zeros((2, 0, 8, 1))), "nothing to see"),
    "labels' number": (
        lambda: figures.images(DIGITS, [1]),
        "labels must have one entry",
    ),
    "scores": (lambda: figures.images(DIGITS, None, np.ones((10, 3))), "argmax"),
    "NaN": (lambda: figures.filters(np.full((3, 3, 1, 1), np.nan)), "finite"),
    "linear weight": (lambda: figures.filters(np.ones((4, 4))), "got (4, 4)"),
    "a batch of maps": (lambda: figures.feature_maps(np.ones((1, 4, 4, 2))), "maps[0]"),
    "no epochs": (lambda: figures.learning_curve([]), "at least one"),
    "no measures": (lambda: figures.learning_curve([{"epoch": 1}]), "got epoch"),
    "unequal": (lambda: figures.confusion_matrix([1], [1, 2]), "got 1 and 2"),
    "no labels": (lambda: figures.confusion_matrix(*[np.zeros(0, int)] * 2), "got 0"),
    "class 10": (
        lambda: figures.confusion_matrix([1], [10]),
        "predictions must be from",
    ),
    "one class": (lambda: figures.confusion_matrix([0], [0], classes=1), "got 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    """The message says what was expected, and what came."""
    picture, message = BAD[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is next)
        picture()
    assert message in str(caught.value)


def test_missing_matplotlib_says_what_to_install(monkeypatch):
    """The message is a command."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install \"lenetjax\[figures\]\""):
        figures.images(DIGITS)
