"""The loss scaled, so that gradients in float16 are not zero."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

import lenetjax as nn
from lenetjax.keeping import NotFinite

pytestmark = pytest.mark.usefixtures("kept_programs")


def data(count=6, size=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (count, size)).astype(np.int32)
    noise = rng.normal(0, 0.3, (count, size, 3))
    images = (np.eye(3)[labels] + noise).astype(np.float32)
    return list(zip(images, labels, strict=True))


def layers():
    return nn.serial(fc1=nn.linear(6), act=jnp.tanh, fc2=nn.linear(3))


def with_state():
    return nn.serial(fc1=nn.linear(6), bn=nn.batch_norm(), fc2=nn.linear(3))


def train(using, found=None, net=None, **options):
    options = {"epochs": 1, "progress": False} | options
    return nn.fit(net or layers(), using, found or data(), **options)


def bits(tree):
    return [np.asarray(a).tobytes() for a in jax.tree.leaves(tree)]


def learned(result):
    return bits((result.params, result.state))


def kept_gradient():
    """An optimizer that changes nothing, and whose state is the last gradient."""
    return optax.GradientTransformation(
        lambda params: jax.tree.map(jnp.zeros_like, params),
        lambda grads, state, params=None: (jax.tree.map(jnp.zeros_like, grads), grads),
    )


def weak(outputs, targets):
    """A loss whose gradient is too small for float16."""
    return 3e-7 * nn.losses.mse(outputs, targets)


def gradient(net, optimizer, batch):
    run = nn.train_state(net, optimizer, jax.random.key(0), batch[0])
    run, _ = nn.train_step(net, optimizer, weak)(run, batch)
    found = getattr(run.opt_state, "inner_state", run.opt_state)
    return np.concatenate([np.ravel(a) for a in jax.tree.leaves(found)])


def test_gradients_that_float16_loses_are_there_with_a_scale():
    """Against those of float32, and of float64 by hand."""
    small = nn.serial(fc1=nn.linear(8), act=jnp.tanh, fc2=nn.linear(4))
    net = nn.mixed_precision(small, compute="float16")
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(16, 5)).astype("f4"), rng.normal(size=(16, 4)).astype("f4")

    without = gradient(net, kept_gradient(), batch)
    scaled = gradient(net, nn.loss_scaling(kept_gradient()), batch)

    params = small.init(jax.random.split(jax.random.key(0))[0], batch[0])
    p = {k: {n: np.float64(a) for n, a in v.items()} for k, v in params.items()}
    x, t = map(np.float64, batch)
    h = np.tanh(x @ p["fc1"]["weight"] + p["fc1"]["bias"])
    dy = 3e-7 * 2 * (h @ p["fc2"]["weight"] + p["fc2"]["bias"] - t) / t.size
    dh = dy @ p["fc2"]["weight"].T * (1 - h**2)
    parts = (dh.sum(0), x.T @ dh, dy.sum(0), h.T @ dy)
    exact = np.concatenate([np.ravel(a) for a in parts])
    error = np.linalg.norm(scaled - exact) / np.linalg.norm(exact)
    assert np.abs(gradient(small, kept_gradient(), batch) - exact).max() < 1e-12
    assert np.mean(without == 0) > 0.5
    assert np.mean(scaled == 0) == 0
    assert error < 5e-3 < np.linalg.norm(without - exact) / np.linalg.norm(exact)


def test_the_scale_takes_the_course_of_pytorchs():
    """Through good gradients and bad ones at random; params are left as there."""
    rng = np.random.default_rng(3)
    bad = rng.random(300) < 0.16
    weight = torch.nn.Parameter(torch.ones(3))
    sgd = torch.optim.SGD([weight], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, growth_interval=5)
    optimizer = nn.loss_scaling(optax.sgd(0.1), 2.0**12, growth_interval=5)
    update, params = jax.jit(optimizer.update), {"w": jnp.ones(3)}
    state = optimizer.init(params)

    scales = set()
    for step, broken in enumerate(bad):
        slope = rng.normal(size=3).astype(np.float32)
        slope[step % 3] = np.inf if broken else slope[step % 3]
        sgd.zero_grad()
        scaler.scale((weight * torch.tensor(slope)).sum()).backward()
        scaler.step(sgd)
        scaler.update()
        updates, state = update({"w": slope * state.scale}, state, params)
        params = optax.apply_updates(params, updates)

        assert float(state.scale) == scaler.get_scale()
        assert int(state.good_steps) == scaler._get_growth_tracker()
        np.testing.assert_allclose(params["w"], weight.detach().numpy(), atol=1e-5)
        scales.add(scaler.get_scale())
    assert min(scales) < 2.0**12 < max(scales)


def test_the_defaults_are_pytorchs():
    """Its scale at the beginning, and when and how much it moves."""
    scaler, wanted = torch.amp.GradScaler("cpu"), nn.loss_scaling.__kwdefaults__
    assert nn.loss_scaling.__defaults__ == (scaler._init_scale,) == (65536.0,)
    assert wanted["growth_factor"] == scaler.get_growth_factor()
    assert wanted["backoff_factor"] == scaler.get_backoff_factor()
    assert wanted["growth_interval"] == scaler.get_growth_interval()


def test_a_step_that_overflows_changes_the_scale_alone():
    """Params, optimizer and batch norm stay bit for bit; the loss is as without."""
    net = nn.mixed_precision(with_state(), compute="float16")
    optimizer, batch = nn.loss_scaling(optax.adam(0.1), 2.0**30), data()[0]
    run = nn.train_state(net, optimizer, jax.random.key(0), batch[0])
    before = bits((run.params, run.state, run.opt_state.inner_state))
    params, state = jax.tree.map(jnp.copy, (run.params, run.state))
    outputs, _ = net.apply_with_state(params, state, batch[0], train=True)

    step = nn.train_step(net, optimizer)
    run, metrics = step(run, batch)

    assert bits((run.params, run.state, run.opt_state.inner_state)) == before
    assert run.opt_state.scale == 2.0**29
    assert (metrics["loss_scale"], metrics["skipped"], run.step) == (2.0**30, 0, 1)
    loss = nn.losses.cross_entropy(outputs, batch[1])
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-2)
    for _ in range(30):
        run, metrics = step(run, batch)
        if run.opt_state.last_finite:
            break
    assert bits((run.params, run.state)) != bits((params, state))


@pytest.mark.parametrize(
    ("inner", "dynamic"),
    [
        (optax.adam(0.1), True),
        pytest.param(
            optax.chain(optax.clip(0.01), optax.sgd(0.1)),
            False,
            marks=pytest.mark.variant,
        ),
        pytest.param(optax.lbfgs(), True, marks=pytest.mark.variant),
    ],
    ids=["adam", "clip", "lbfgs"],
)
def test_in_float32_a_scale_changes_nothing(inner, dynamic):
    """A power of two comes and goes without rounding: bit for bit the same."""
    scaled = nn.loss_scaling(inner, 2.0**10, dynamic=dynamic, growth_interval=2)
    plain, with_scale = train(inner), train(scaled)

    assert learned(with_scale) == learned(plain)
    assert with_scale.history[0]["train_loss"] == plain.history[0]["train_loss"]


def test_what_is_left_out_is_not_gathered():
    """With batches that make an update together, whose order in the wrappers counts."""
    found = data()
    broken = (np.full_like(found[0][0], np.nan), found[0][1])
    options = {"accumulate_grad_batches": 3}
    plain = train(optax.adam(0.1), found, **options)

    skipping = train(
        nn.loss_scaling(optax.adam(0.1)), [*found[:2], broken, *found[2:]],
        skip_nonfinite=1, **options,
    )  # fmt: skip

    assert learned(skipping) == learned(plain)
    for name in ("train_loss", "train_accuracy"):
        assert skipping.history[0][name] == plain.history[0][name]


def sharp():
    """Its loss is finite, and its gradient at zero is not."""

    def init(key, x):
        return {"w": jnp.zeros(())}

    return nn.layer("sharp", init, lambda params, x: x + jnp.sqrt(params["w"]))


@pytest.mark.parametrize(
    ("options", "step"), [({}, 3), ({"skip_nonfinite": 2}, 5)], ids=["none", "two"]
)
def test_a_gradient_that_no_scale_makes_finite_stops(options, step):
    """From 4 over 2 to 1, and no further; then it is as without a scale."""
    using = nn.loss_scaling(optax.sgd(0.1), 4.0)
    with pytest.raises(NotFinite, match=f"step {step}: its gradient is not finite"):
        train(using, data(6), sharp(), **options)


def test_a_loss_that_is_not_finite_stops_at_once():
    """No scale has to do with it."""
    found = data()
    found[1] = (np.full_like(found[0][0], np.nan), found[1][1])
    with pytest.raises(NotFinite, match=r"step 2: .* a loss of nan"):
        train(nn.loss_scaling(optax.sgd(0.1)), found)


class Stopped(Exception):
    """The power fails."""


class Failing(list):
    """Batches that fail after some."""

    def __iter__(self):
        yield from list.__iter__(self)
        raise Stopped


def test_a_stopped_training_goes_on_with_its_scale(tmp_path):
    """In float16, with steps left out on both sides of the stop."""
    net = nn.mixed_precision(layers(), compute="float16")
    using = nn.loss_scaling(optax.adam(0.1), 2.0**26, growth_interval=2)
    kept = {"net": net, "epochs": 3, "checkpoints": tmp_path, "checkpoint_every": 1}
    with pytest.raises(Stopped):
        train(using, Failing(data()[:2]), **kept)

    resumed = train(using, **kept)

    assert learned(resumed) == learned(train(using, net=net, epochs=3))


@pytest.mark.variant
@pytest.mark.compiled
def test_many_steps_in_a_call_scale_the_same():
    """In one program, where nothing of the state may change its dtype."""
    images, labels = map(np.concatenate, zip(*data(), strict=True))
    split = nn.data.Split(images, labels)
    using = nn.loss_scaling(optax.adam(0.1), 2.0**8, growth_interval=2)
    options = {"found": nn.data.Dataset(split, split), "batch_size": 4, "epochs": 2}

    found = [train(using, steps_per_execution=n, **options).params for n in (1, 3)]

    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda scaled: optax.chain(optax.clip(1.0), scaled),
        lambda scaled: optax.MultiSteps(scaled, 2),
        lambda scaled: optax.apply_if_finite(scaled, 2),
    ],
    ids=["chain", "multi", "finite"],
)
def test_nothing_may_be_around_it(wrong):
    """A clip would see gradients with the scale."""
    optimizer = wrong(nn.loss_scaling(optax.sgd(0.1)))
    run = nn.train_state(layers(), optimizer, jax.random.key(0), data()[0][0])
    with pytest.raises(nn.LayerError, match="must be the outermost optimizer"):
        nn.train_step(layers(), optimizer)(run, data()[0])


def test_float16_params_are_refused():
    """As by PyTorch: the unscaled gradient would be zero again."""
    net = nn.mixed_precision(layers(), params="float16", compute="float16")
    optimizer = nn.loss_scaling(optax.sgd(0.1))
    with pytest.raises(nn.LayerError, match="/bias is float16, in which"):
        nn.train_state(net, optimizer, jax.random.key(0), data()[0][0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init_scale": 0.5}, "init_scale must be at least 1, got 0.5"),
        ({"init_scale": float("inf")}, "init_scale"),
        ({"init_scale": float("nan")}, "init_scale"),
        ({"init_scale": "2"}, "init_scale"),
        ({"growth_factor": 1.0}, "growth_factor must be above 1, got 1.0"),
        ({"backoff_factor": 1.0}, "backoff_factor must be above 0 and below 1"),
        ({"backoff_factor": 0.0}, "backoff_factor"),
        ({"growth_interval": 0}, "growth_interval"),
    ],
)
def test_arguments_out_of_range_are_named(options, message):
    with pytest.raises(nn.LayerError, match=message):
        nn.loss_scaling(optax.sgd(0.1), **options)
