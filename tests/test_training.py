"""The training step and the loop around it."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lenetjax as nn
from lenetjax.data import Dataset, Split

pytestmark = pytest.mark.usefixtures("kept_programs")


@pytest.fixture
def points():
    """23 examples of three classes that a line can tell apart; 7 to test."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 30).astype(np.int32)
    x = np.eye(3, dtype=np.float32)[labels]
    x = x + rng.normal(0, 0.1, x.shape).astype(np.float32)
    return Dataset(Split(x[:23], labels[:23]), Split(x[23:], labels[23:]))


def with_everything():
    return nn.serial(
        fc1=nn.linear(8), bn=nn.batch_norm(), drop=nn.dropout(0.2), fc2=nn.linear(3)
    )


def test_a_step_is_the_update_written_by_hand(points):
    """One step of SGD is params - rate * gradient of the mean cross-entropy."""
    x, labels = points.train
    net, rate = nn.linear(3), 0.1
    run = nn.train_state(net, optax.sgd(rate), jax.random.key(0), x)
    weight, bias = (np.asarray(run.params[name], float) for name in ("weight", "bias"))

    run, metrics = nn.train_step(net, optax.sgd(rate))(run, (x, labels))

    logits = x @ weight + bias
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    slope = (p - np.eye(3)[labels]) / len(x)
    np.testing.assert_allclose(
        run.params["weight"], weight - rate * x.T @ slope, atol=1e-6
    )
    np.testing.assert_allclose(
        run.params["bias"], bias - rate * slope.sum(0), atol=1e-6
    )
    np.testing.assert_allclose(
        metrics["loss"], -np.log(p[range(len(x)), labels]).mean(), rtol=1e-5
    )
    assert metrics["accuracy"] == np.mean(logits.argmax(1) == labels)
    assert run.step == 1


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.sgd(0.1),
        optax.sgd(0.1, momentum=0.9, nesterov=True),
        optax.adam(0.01),
        optax.rmsprop(0.01),
        optax.adamw(0.01),
        optax.lbfgs(),
        optax.contrib.schedule_free_sgd(0.1),
        optax.chain(optax.clip_by_global_norm(1.0), optax.lion(0.01)),
    ],
    ids=["sgd", "nesterov", "adam", "rmsprop", "adamw", "lbfgs", "free", "chain"],
)
def test_any_optimizer_trains_a_net_with_state(points, optimizer):
    """The loss falls with every kind of optax optimizer, and the state moves."""
    net = nn.serial(fc1=nn.linear(8), bn=nn.batch_norm(), fc2=nn.linear(3))
    run = nn.train_state(net, optimizer, jax.random.key(0), points.train.images)
    step = nn.train_step(net, optimizer)

    losses = []
    for _ in range(30):
        run, metrics = step(run, points.train)
        losses.append(float(metrics["loss"]))

    assert losses[-1] < 0.8 * losses[0]
    assert float(jnp.abs(run.state["bn"]["mean"]).max()) > 0


@pytest.mark.compiled
def test_the_run_is_donated(points):
    """The buffers of the run that goes into a step are used again for its result."""
    net, optimizer = nn.linear(3), optax.sgd(0.1)
    run = nn.train_state(net, optimizer, jax.random.key(0), points.train.images)

    nn.train_step(net, optimizer)(run, points.train)

    assert run.params["weight"].is_deleted()


def test_each_step_has_a_key_of_its_own(points):
    """Dropout zeroes other values at each step, with the params left alone."""
    net, optimizer = nn.serial(drop=nn.dropout(0.5), fc=nn.linear(3)), optax.sgd(0.0)
    run = nn.train_state(net, optimizer, jax.random.key(0), points.train.images)
    step = nn.train_step(net, optimizer)

    losses = set()
    for _ in range(4):
        run, metrics = step(run, points.train)
        losses.add(float(metrics["loss"]))

    assert len(losses) == 4


def test_fit_counts_every_image(points):
    """Partial batches count by their size, in training and in the test."""
    seen = []

    def loss(outputs, labels):
        jax.debug.callback(lambda n: seen.append(int(n)), len(labels))
        return nn.losses.cross_entropy(outputs, labels)

    result = nn.fit(
        nn.linear(3), optax.sgd(0.5), points, epochs=2, batch_size=5, loss=loss,
        progress=False,
    )  # fmt: skip
    jax.effects_barrier()

    logits = nn.predict(nn.linear(3), result.params, points.test.images)
    assert result.test_accuracy == pytest.approx(
        np.mean(logits.argmax(1) == points.test.labels)
    )
    assert sorted(seen) == sorted([5, 5, 5, 5, 3, 5, 2] * 2)
    assert [row["step"] for row in result.history] == [5, 10]
    assert list(result.history[0]) == [
        "epoch", "step", "train_loss", "train_accuracy", "test_loss",
        "test_accuracy", "seconds", "images_per_second",
    ]  # fmt: skip


@pytest.mark.compiled
def test_fit_compiles_once_for_each_shape(points):
    """Ten epochs trace the step for the full and for the last batch, and no more."""
    traced = []

    def loss(outputs, labels):
        traced.append(labels.shape)
        return nn.losses.cross_entropy(outputs, labels)

    nn.fit(
        nn.linear(3), optax.sgd(0.5), points, epochs=10, batch_size=5, loss=loss,
        progress=False,
    )  # fmt: skip

    assert sorted(traced) == [(2,), (3,), (5,), (5,)]


def test_a_seed_decides_the_result(points):
    """Equal seeds end with equal params bit for bit; another seed does not."""

    def params(seed):
        result = nn.fit(
            with_everything(), optax.sgd(0.1), points, epochs=2, batch_size=8,
            seed=seed, progress=False,
        )  # fmt: skip
        return np.asarray(result.params["fc1"]["weight"])

    np.testing.assert_array_equal(params(1), params(1))
    assert not np.array_equal(params(1), params(2))


def test_batches_come_from_any_iterable(points):
    """A list of batches, and a class with __iter__, train like a dataset."""

    class Loader:
        def __iter__(self):
            yield points.train.images[:12], points.train.labels[:12]
            yield points.train.images[12:], points.train.labels[12:]

    rows = []

    def note(row, run):
        rows.append(row["epoch"])

    for data in (Loader(), list(Loader())):
        result = nn.fit(
            nn.linear(3), optax.sgd(1.0), data, epochs=20, test=[points.test],
            progress=False, callbacks=[SimpleNamespace(on_epoch=note)],
        )  # fmt: skip
        assert result.test_accuracy == 1.0

    assert rows == [*range(1, 21)] * 2


def test_no_test_data_gives_no_test_accuracy(points):
    """Without test batches the test accuracy is None, not a number."""
    result = nn.fit(
        nn.linear(3), optax.sgd(1.0), [points.train], epochs=1, progress=False
    )

    assert result.test_accuracy is None
    assert "test_loss" not in result.history[0]


def test_a_regression_has_a_loss_and_no_accuracy(points):
    """With another loss the labels are targets of any shape."""
    x = points.train.images
    result = nn.fit(
        nn.linear(2), optax.sgd(0.5), [(x, x[:, :2])], epochs=50,
        loss=nn.losses.mse, progress=False,
    )  # fmt: skip

    assert result.history[-1]["train_loss"] < 0.01
    assert "train_accuracy" not in result.history[0]


def test_data_that_runs_dry_is_refused(points):
    """A generator has nothing for a second epoch; the message says what to pass."""
    with pytest.raises(ValueError, match="no batches in epoch 2; pass a list"):
        nn.fit(
            nn.linear(3), optax.sgd(1.0), iter([points.train]), epochs=2, progress=False
        )


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((np.zeros((2, 3), np.float32), np.array([0, 3])), "from 0 to 2.*from 0 to 3"),
        ((np.zeros((2, 3), np.float32), np.array([-1, 0])), "got labels from -1"),
        ((np.zeros((2, 3), np.float32), np.array([0.0, 1.0])), "labels must be ints"),
        ((np.zeros((2, 3), np.float32), np.zeros((2, 1), int)), "labels must be ints"),
        ((np.zeros((2, 3), np.float32), np.zeros(3, int)), "equally many"),
        ((np.zeros((0, 3), np.float32), np.zeros(0, int)), "at least one"),
        (np.zeros((3, 3), np.float32), r"expected batches \(images, labels\)"),
        ((np.zeros((2, 3), np.uint8), np.array([0, 1])), "expected floating-point"),
    ],
)
def test_bad_batches_are_refused(batch, message):
    """Labels out of range or of the wrong shape, and the like, never train."""
    with pytest.raises(ValueError, match=message):
        nn.fit(nn.linear(3), optax.sgd(1.0), [batch], epochs=1, progress=False)


def test_nan_is_never_right():
    """A net that computes NaN has accuracy 0, not the share of class 0."""
    x, labels = np.full((4, 3), np.nan, np.float32), np.zeros(4, np.int32)
    params = nn.linear(3).init(jax.random.key(0), x)

    metrics = nn.eval_step(nn.linear(3))(params, {}, (x, labels))

    assert metrics["accuracy"] == 0


def test_predict_joins_its_batches(points):
    """Outputs for any number of images are those of one call."""
    params = nn.linear(3).init(jax.random.key(0), points.train.images)

    batched = nn.predict(nn.linear(3), params, points.train.images, batch_size=4)

    whole = nn.linear(3).apply(params, points.train.images)
    np.testing.assert_allclose(batched, whole, rtol=1e-6)
    with pytest.raises(ValueError, match="at least one image"):
        nn.predict(nn.linear(3), params, points.train.images[:0])


def test_progress_writes_a_line_for_each_epoch(points, capsys):
    """Where stderr is no terminal there is a line per epoch, and stdout stays clean."""
    nn.fit(nn.linear(3), optax.sgd(1.0), points, epochs=3)

    shown = capsys.readouterr()
    assert shown.out == ""
    assert [line.split()[1] for line in shown.err.splitlines()] == ["1/3", "2/3", "3/3"]
    assert "test accuracy" in shown.err
    assert "images/s" in shown.err
