"""Pictures: what they show, what they refuse, and that they leave pyplot alone."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from lenetjax.inspection import figures

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("matplotlib.colors")

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
LAYERS = {
    "conv1": np.random.default_rng(0).normal(size=(2, 5, 5, 3)),
    "relu1": np.maximum(np.random.default_rng(0).normal(size=(2, 5, 5, 3)), 0),
    "fc": np.random.default_rng(1).normal(size=(2, 10)) * 1e4,
}
PARAMS = {name: {"weight": v, "bias": v.ravel()[:2]} for name, v in LAYERS.items()}
DEEP = {"stage/block/add/body": {f"conv{i}": PARAMS["fc"] for i in range(30)}}
STEPS = np.linspace(-1, 1, 11)
BOWL = STEPS[:, None] ** 2 + 2 * STEPS**2 + 0.1
LOGITS = np.random.default_rng(2).normal(size=(10, 10))
HEAT = np.random.default_rng(3).random((10, 8, 8))


def trainings(n, by="rate", values=None, dead=0):
    """Histories that rise to higher ends; the last few diverge in their third epoch."""
    values = np.logspace(-3, 0, n) if values is None else values
    return [
        SimpleNamespace(
            seed=i,
            hyperparameters={by: float(value)},
            history=[
                {
                    "epoch": epoch,
                    "test_accuracy": 1 - 1 / (epoch + i),
                    "test_loss": np.nan if i >= n - dead and epoch > 2 else 2 / epoch,
                }
                for epoch in range(1, 6)
            ],
        )
        for i, value in enumerate(values)
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
    "sweep curves": lambda: figures.sweep_curves(trainings(6, dead=2), "rate"),
    "many sweep curves": lambda: figures.sweep_curves(
        trainings(30), "rate", "test_loss"
    ),
    "all diverged": lambda: figures.sweep_curves(trainings(3, dead=3), "seed"),
    "one training": lambda: figures.sweep_curves(trainings(1), "rate"),
    "one epoch": lambda: figures.learning_curve(HISTORY[:1]),
    "confusion matrix": lambda: figures.confusion_matrix(range(10), range(10)),
    "activations": lambda: figures.activations(LAYERS),
    "one layer": lambda: figures.activations({"fc": LAYERS["fc"]}),
    "dead layers": lambda: figures.activations({"a": np.zeros(3), "b": np.zeros(3)}),
    "weights": lambda: figures.weights(PARAMS),
    "many weights": lambda: figures.weights(DEEP),
    "equal weights": lambda: figures.weights({"scale": np.ones(5)}),
    "gradients": lambda: figures.gradients(PARAMS),
    "many gradients": lambda: figures.gradients(DEEP),
    "zero gradients": lambda: figures.gradients({"fc": {"bias": np.zeros(3)}}),
    "equal gradients": lambda: figures.gradients({"fc": {"bias": np.ones(3)}}),
    "mistakes": lambda: figures.mistakes(DIGITS, range(10), LOGITS),
    "one mistake": lambda: figures.mistakes(DIGITS[:1], [1], [[9.0, 0.0]]),
    "no mistake": lambda: figures.mistakes(DIGITS, range(10), np.eye(10)),
    "saliency": lambda: figures.saliency(DIGITS, HEAT, range(10), [3] * 10),
    "one saliency map": lambda: figures.saliency(DIGITS[:1], HEAT[:1]),
    "zero saliency": lambda: figures.saliency(DIGITS, 0 * HEAT, columns=5),
    "saliency with signs": lambda: figures.saliency(DIGITS, HEAT - 0.5),
    "saliency of colors": lambda: figures.saliency(
        np.full((2, 4, 6, 3), 0.5), np.ones((2, 4, 6))
    ),
    "class activation": lambda: figures.class_activation(DIGITS, HEAT, range(10)),
    "tiny class activation": lambda: figures.class_activation(DIGITS, HEAT * 1e-6),
    "landscape": lambda: figures.landscape(STEPS, STEPS, BOWL),
    "wide landscape": lambda: figures.landscape(STEPS, STEPS, 10 ** (9 * BOWL) / 1e9),
    "low landscape": lambda: figures.landscape(STEPS, STEPS, BOWL / 1e4),
    "flat landscape": lambda: figures.landscape(STEPS, STEPS, np.ones((11, 11))),
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


def test_sweep_curves_show_who_is_best_and_who_diverged():
    """A colour for each value; the best thick, and the lines of the lost end."""
    members = [*trainings(4, dead=1), *trainings(4, dead=1)]
    figure = figures.sweep_curves(members, "rate")
    (axes,), (legend,) = figure.axes, figure.legends
    assert axes.get_title() == "Test accuracy of 8 trainings, of which 2 diverged"
    assert [t.get_text() for t in axes.texts] == [f"best {1 - 1 / 7:.1%}"]
    assert [len(line.get_xdata()) for line in axes.lines] == [5, 5, 5, 2] * 2
    thick = [line for line in axes.lines if line.get_linewidth() > 2]
    assert [line.get_ydata()[-1] for line in thick] == [1 - 1 / 7]
    named = dict(
        zip(
            [text.get_text() for text in legend.get_texts()],
            [tuple(line.get_color()) for line in legend.get_lines()],
            strict=True,
        )
    )
    assert list(named) == ["0.001", "0.01", "0.1", "1"]
    drawn = [tuple(line.get_color()) for line in axes.lines]
    assert drawn == [*named.values()] * 2


def test_sweep_curves_of_many_values_have_a_scale():
    """One bar, from the lowest to the highest, in powers of ten where it is wide."""
    for values, scale in ((np.logspace(-3, 0, 12), "log"), (np.arange(12), "linear")):
        _, bar = figures.sweep_curves(trainings(12, values=values), "rate").axes
        assert bar.get_ylabel() == "rate"
        assert bar.get_yscale() == scale
        np.testing.assert_allclose(bar.get_ylim(), (values[0], values[-1]))


def test_confusion_matrix_counts():
    """Rows are true classes, columns predicted ones; empty cells are zero."""
    (axes,) = figures.confusion_matrix([0, 1, 1, 2], [0, 2, 2, 2], classes=3).axes
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "1", (2, 1): "2", (2, 2): "1"}
    assert axes.get_title() == "Accuracy 50.0%: 2 of 4 right"


def rows_of(axes):
    """The histogram of each row of a picture by layer: its counts' shape and edges."""
    found = []
    for patch in axes.patches:
        heights, edges, base = patch.get_data()
        found.append((heights - base, edges))
    return found


def table_of(axes):
    """The numbers on the right, row by row, without the headings."""
    cells = [t.get_text() for t in axes.texts if t.get_text() != "all zero"]
    return [cells[i : i + 3] for i in range(3, len(cells), 3)]


def test_activations_are_counted_on_one_scale():
    """Each row's bars are the counts of the values that are not zero, to their peak."""
    (axes,) = figures.activations(LAYERS).axes
    (_, edges), *_ = rows = rows_of(axes)
    for (heights, own_edges), values in zip(rows, LAYERS.values(), strict=True):
        np.testing.assert_array_equal(own_edges, edges)
        counts, _ = np.histogram(values[values != 0], edges)
        np.testing.assert_allclose(heights / heights.max(), counts / counts.max())
        assert counts.sum() == np.count_nonzero(values)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == list(LAYERS)
    tops = [label.get_position()[1] for label in axes.get_yticklabels()]
    assert tops == sorted(tops, reverse=True)


def test_no_bar_of_positive_values_reaches_below_zero():
    """Zero is the edge of a bin, so what is behind a ReLU stays on its side."""
    (axes,) = figures.activations({"relu": LAYERS["relu1"], "fc": LAYERS["fc"]}).axes
    heights, edges = rows_of(axes)[0]
    assert edges[:-1][heights > 0].min() >= 0


def test_activations_say_mean_deviation_and_zeros():
    """Of all values, zeros included; a share is 0% or 100% only if it is exact."""
    few = np.r_[np.zeros(999), 1.0]
    values = {"a": np.array([0.0, 4.0, 0.0, 0.0]), "b": few, "c": 1 - few}
    (axes,) = figures.activations(values).axes
    assert table_of(axes) == [
        ["1", "1.73", "75%"],
        ["0.001", "0.0316", ">99%"],
        ["0.999", "0.0316", "<1%"],
    ]


def test_weights_are_named_by_their_paths():
    """In the order of the dicts, whose inner arrays are rows of their own."""
    (axes,) = figures.weights({"b": {"x": {"w": np.ones(2)}}, "a": np.ones(1)}).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b/x/w", "a"]


def test_gradients_that_vanish_or_are_dead_stand_out():
    """Magnitudes are on a log scale; what is zero everywhere is orange and counted."""
    small, large = np.full(9, -1e-9), np.full(9, 1e3)
    grads = {"dead": np.zeros(9), "small": small, "large": large}
    figure = figures.gradients(grads)
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    places = [edges[:-1][heights > 0] for heights, edges in rows_of(axes)]
    np.testing.assert_allclose([p.item() for p in places], [1e-9, 1e3], rtol=0.3)
    assert table_of(axes) == [
        ["-", "0", "100%"], ["1e-09", "1e-09", "0%"], ["1e+03", "1e+03", "0%"],
    ]  # fmt: skip
    assert figure.get_suptitle() == "Gradients by array: 1 of 3 all zero"
    colors = [label.get_color() for label in axes.get_yticklabels()]
    assert colors[0] != colors[1] == colors[2]


def test_mistakes_come_with_the_most_confident_first():
    """Right images are left out, and what is drawn is the image that is named."""
    images = np.linspace(0, 1, 4)[:, None, None, None] * np.ones((4, 8, 8, 1))
    logits = np.log([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.999, 0.001]])
    figure = figures.mistakes(images, [0, 0, 0, 1], logits)
    titles = [title for title, _ in texts(figure)]
    assert titles == [">99% 0, is 1", "80% 1, is 0", "70% 1, is 0"]
    drawn = [axes.images[0].get_array().max() for axes in figure.axes]
    np.testing.assert_allclose(drawn, [1, 2 / 3, 1 / 3])
    assert len(figures.mistakes(images, [0, 0, 0, 1], logits, n=2).axes) == 2
    none = figures.mistakes(images, [0, 1, 1, 0], logits)
    assert none.get_suptitle() == "No mistake in 4 images"


def test_maps_stand_under_their_images_on_one_scale():
    """Pairs share a column; class activation's scale ends at the largest value."""
    figure = figures.class_activation(DIGITS, HEAT, columns=4)
    for i in range(10):
        upper, lower = figure.axes[2 * i : 2 * i + 2]
        np.testing.assert_allclose(upper.images[0].get_array(), DIGITS[i, ..., 0])
        np.testing.assert_array_equal(lower.images[0].get_array(), HEAT[i])
        assert lower.images[0].get_clim() == (0, HEAT.max())
        above, below = upper.get_position(), lower.get_position()
        assert above.x0 == pytest.approx(below.x0)
        assert above.y0 > below.y1
    assert figure.axes[2].get_position().x0 > figure.axes[0].get_position().x1


def test_few_large_values_do_not_hide_the_others_of_a_saliency_map():
    """The scale ends below a hundredth of the pixels, and the bar says so."""
    maps = np.ones((1, 10, 20))
    maps[0, 0, 0] = 1e6
    figure = figures.saliency(np.ones((1, 10, 20, 1)), maps)
    assert figure.axes[1].images[0].get_clim() == (0, 1)
    bar = figure.axes[1].images[0].colorbar
    assert bar.extend == "max"
    figure = figures.saliency(np.ones((1, 10, 20, 1)), np.minimum(maps, 1) - 2)
    assert figure.axes[1].images[0].get_clim() == (-1, 1)


@pytest.mark.parametrize(
    ("losses", "log"), [(BOWL, False), (BOWL - 0.1, False), (BOWL**9 * 1e3, True)]
)
def test_a_landscape_marks_the_params_and_covers_all_losses(losses, log):
    """The mark is at zero with its loss; colours hold from the least to the largest."""
    figure = figures.landscape(STEPS, STEPS, losses)
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.texts] == [f"{losses[5, 5]:.3g}"]
    (mark,) = axes.lines
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (0, 0)
    filled = axes.collections[0]
    assert isinstance(filled.norm, matplotlib.colors.LogNorm) == log
    assert filled.levels[0] <= losses.min() <= losses.max() <= filled.levels[-1]


def test_a_landscape_has_alpha_to_the_right_and_beta_upwards():
    """A loss that grows with alpha alone has contours that stand upright."""
    right = np.broadcast_to(np.exp(STEPS), (5, 11))
    axes = figures.landscape(STEPS, STEPS[:5], right).axes[0]
    lines = [path.vertices for path in axes.collections[1].get_paths()]
    lines = [line for line in lines if len(line)]
    assert len(lines) > 5
    assert max(np.ptp(line[:, 0]) for line in lines) < 1e-6
    assert not axes.lines  # beta has no zero there, so there is nothing to mark


def test_a_landscape_is_dark_where_the_loss_is_high():
    """The palest band lies where the losses are lowest, and the darkest opposite."""
    tilted = STEPS + 2 * STEPS[:, None]
    bands = figures.landscape(STEPS, STEPS, tilted).axes[0].collections[0].get_paths()
    places = [band.vertices for band in bands if len(band.vertices)]
    for corner, place in ((-1, places[0]), (1, places[-1])):
        assert (place * corner > 0).all()
        assert np.isclose(place, corner).all(1).any()


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
    "no members": (lambda: figures.sweep_curves([], "rate"), "got none"),
    "no such number": (
        lambda: figures.sweep_curves(trainings(2), "speed"),
        "one of rate, seed, got 'speed'",
    ),
    "no such measure": (
        lambda: figures.sweep_curves(trainings(2), "rate", "train_loss"),
        "one of test_accuracy, test_loss, got 'train_loss'",
    ),
    "unequal": (lambda: figures.confusion_matrix([1], [1, 2]), "got 1 and 2"),
    "no labels": (lambda: figures.confusion_matrix(*[np.zeros(0, int)] * 2), "got 0"),
    "class 10": (
        lambda: figures.confusion_matrix([1], [10]),
        "predictions must be from",
    ),
    "no layers": (lambda: figures.activations({}), "from 1 to 100, got 0"),
    "a list": (lambda: figures.activations([np.ones(2)]), "got list"),
    "too many layers": (
        lambda: figures.activations(dict.fromkeys(map(str, range(101)), np.ones(1))),
        "got 101",
    ),
    "a NaN inside": (
        lambda: figures.gradients({"a": np.ones(1), "b": {"c": np.full(1, np.nan)}}),
        "NaN or infinity in b/c",
    ),
    "no values": (lambda: figures.weights({"a": np.ones(0)}), "have none in a"),
    "no numbers": (lambda: figures.activations({"a": "b"}), "got str in a"),
    "no dict": (lambda: figures.weights(np.ones(2)), "must be a dict"),
    "logits of others": (
        lambda: figures.mistakes(DIGITS, range(10), LOGITS[:5]),
        "for n = 10 images, at least one, got (5, 10)",
    ),
    "no class": (lambda: figures.mistakes(DIGITS, [10] * 10, LOGITS), "got 10 to 10"),
    "no image": (
        lambda: figures.mistakes(DIGITS[:0], np.zeros(0, int), LOGITS[:0]),
        "at least one",
    ),
    "no tile": (lambda: figures.mistakes(DIGITS, [0] * 10, LOGITS, n=0), "got 0"),
    "small maps": (
        lambda: figures.saliency(DIGITS, HEAT[:, :4]),
        "like the images, (10, 8, 8), got (10, 4, 8)",
    ),
    "maps' labels": (
        lambda: figures.class_activation(DIGITS, HEAT, [1]),
        "labels must have one entry",
    ),
    "many maps": (
        lambda: figures.saliency(np.zeros((129, 8, 8, 1)), np.zeros((129, 8, 8))),
        "from 1 to 128",
    ),
    "falling steps": (
        lambda: figures.landscape(-STEPS, STEPS, BOWL),
        "alphas must be rising",
    ),
    "turned losses": (
        lambda: figures.landscape(STEPS[:5], STEPS, BOWL[:5]),
        "(11, 5); got (5, 11)",
    ),
    "infinite loss": (
        lambda: figures.landscape(STEPS, STEPS, BOWL * np.inf),
        "losses must be finite",
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
