"""What normalization refuses, and what PyTorch does not show."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lenetjax as nn

PARTS = 3


def batch(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(2, 3, shape), "float32")


def over_devices(layer, params, state, x):
    """Trains on a batch that is split along its first axis."""

    def step(x):
        return layer.apply_with_state(params, state, x, train=True)

    return jax.vmap(step, axis_name="devices")(x)


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 4), (1, 4)])
def test_batch_norm_over_devices_is_that_of_the_whole_batch(shape):
    """Output, running averages and gradients, even with one value on each device."""
    split, whole = nn.batch_norm(axis_name="devices"), nn.batch_norm()
    x = batch(PARTS, *shape) + 10 * jnp.arange(PARTS).reshape(-1, *[1] * len(shape))
    together = x.reshape(-1, *shape[1:])
    params, state = split.init_with_state(jax.random.key(0), x[0])
    params["weight"] = jnp.arange(1, 5, dtype=x.dtype)

    def ours(params, x):
        return over_devices(split, params, state, x)

    def theirs(params, x):
        y, new = whole.apply_with_state(params, state, x, train=True)
        return y.reshape(PARTS, *shape), jax.tree.map(
            lambda entry: jnp.broadcast_to(entry, (PARTS, *entry.shape)), new
        )

    got, pullback = jax.vjp(ours, params, x)
    want, pullback_of_whole = jax.vjp(theirs, params, together)
    upstream = jax.tree.map(
        lambda y: jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape), want
    )
    gradients, wanted = pullback(upstream), pullback_of_whole(upstream)
    wanted = (wanted[0], wanted[1].reshape(x.shape))
    for one, other in ((got, want), (gradients, wanted)):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5),
            one,
            other,
        )


def test_batch_norm_over_devices_keeps_its_digits_far_from_zero():
    """Means of squares would lose the variance beside the mean's square."""
    x = batch(PARTS, 4, 2) + 4096
    layer = nn.batch_norm(momentum=1.0, axis_name="devices")
    params, state = layer.init_with_state(jax.random.key(0), x[0])

    _, state = over_devices(layer, params, state, x)

    want = np.asarray(x, "float64").reshape(-1, 2).var(0, ddof=1)
    np.testing.assert_allclose(state["var"][0], want, rtol=1e-3)


def test_batch_norm_with_an_axis_works_outside_of_it():
    """Init, evaluation and the plan need no devices."""
    layer, x = nn.batch_norm(axis_name="devices"), batch(5, 3)

    params, state = layer.init_with_state(jax.random.key(0), x)

    assert jax.tree.map(jnp.shape, layer.plan(x).state) == {"mean": (3,), "var": (3,)}
    want = nn.batch_norm().apply(params, x, state=state)
    np.testing.assert_array_equal(layer.apply(params, x, state=state), want)
    assert "axis_name='devices'" in layer.text


SHARDED = """
import jax, jax.numpy as jnp, numpy as np, lenetjax as nn
from jax.sharding import AxisType, PartitionSpec as P

assert jax.device_count() == 2
layer = nn.serial(fc=nn.linear(3), bn=nn.batch_norm(axis_name="devices"))
whole = nn.serial(fc=nn.linear(3), bn=nn.batch_norm())
x = jnp.asarray(np.random.default_rng(0).normal(2, 3, (4, 3)), "float32")
params, state = whole.init_with_state(jax.random.key(0), x)

def step(params, state, x):
    return layer.apply_with_state(params, state, x, train=True)

mesh = jax.make_mesh((2,), ("devices",), axis_types=(AxisType.Auto,))
split = jax.shard_map(
    step, mesh=mesh, in_specs=(P(), P(), P("devices")), out_specs=(P("devices"), P())
)

def run(function):
    def loss(params):
        y, new = function(params, state, x)
        return (y ** 3).sum(), (y, new)
    return jax.jit(jax.value_and_grad(loss, has_aux=True))(params)

got = run(split)
want = run(lambda *args: whole.apply_with_state(*args, train=True))
for one, other in zip(*map(jax.tree.leaves, (got, want)), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
print("agrees")
"""


def test_batch_norm_over_two_real_devices():
    """Under `jax.shard_map` the replicated state and the gradients are right."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", "-c", SHARDED],
        capture_output=True,
        text=True,
        env={
            "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": ":".join(sys.path),
        },
    )

    assert done.stdout == "agrees\n", done.stderr


def test_group_norm_has_layer_and_instance_norm_at_its_ends():
    """One group is a layer norm of three axes; one a channel is an instance norm."""
    x = batch(2, 3, 4, 6)

    def applied(layer):
        return layer.apply({}, x)

    np.testing.assert_allclose(
        applied(nn.group_norm(1, affine=False)),
        applied(nn.layer_norm(axes=3, affine=False)),
        rtol=1e-5, atol=1e-6,
    )  # fmt: skip
    np.testing.assert_allclose(
        applied(nn.group_norm(6, affine=False)),
        applied(nn.instance_norm()),
        rtol=1e-5, atol=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize(
    "layer",
    [nn.batch_norm(), nn.layer_norm(axes=2), nn.rms_norm(axes=2), nn.group_norm(2),
     nn.instance_norm(affine=True)],
    ids=lambda layer: layer.kind,
)  # fmt: skip
def test_params_start_at_one_and_zero(layer):
    """So that nothing is scaled or shifted at first."""
    params, _ = layer.init_with_state(jax.random.key(0), batch(2, 3, 4))

    shape = (3, 4) if layer.settings.get("axes") == 2 else (4,)
    np.testing.assert_array_equal(params["weight"], jnp.ones(shape))
    assert ("bias" in params) is (layer.kind != "rms_norm")
    if "bias" in params:
        np.testing.assert_array_equal(params["bias"], jnp.zeros(shape))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.batch_norm(eps=-1), "eps must be a finite number, not negative"),
        (lambda: nn.batch_norm(axis_name=0), "axis_name must be a str or None, got 0"),
        (lambda: nn.layer_norm(axes=0), "axes must be a positive int, got 0"),
        (lambda: nn.layer_norm(axes=(3, 4)), "axes must be a positive int"),
        (lambda: nn.layer_norm(eps=float("nan")), "eps must be a finite number"),
        (lambda: nn.rms_norm(axes=-1), "axes must be a positive int, got -1"),
        (lambda: nn.rms_norm(eps="tiny"), "eps must be a finite number"),
        (lambda: nn.group_norm(0), "groups must be a positive int, got 0"),
        (lambda: nn.group_norm(2, eps=-1), "eps must be"),
        (lambda: nn.instance_norm(eps=float("inf")), "eps must be a finite number"),
        (lambda: nn.local_response_norm(0), "size must be a positive int, got 0"),
        (lambda: nn.local_response_norm(3, alpha=-1), "alpha must be"),
        (lambda: nn.local_response_norm(3, beta=True), "beta must be"),
        (lambda: nn.local_response_norm(3, k=-0.5), "k must be a finite number"),
    ],
)
def test_settings_are_checked_when_the_layer_is_made(make, message):
    """The message names the setting, and what came."""
    with pytest.raises(nn.LayerError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.layer_norm(axes=3), (2, 3), r"axes=3, .* fewer in float..\[2,3\]"),
        (nn.rms_norm(axes=2), (3,), r"axes=2, .* fewer in float..\[3\]"),
        (nn.group_norm(3), (2, 5, 4), "groups=3 does not divide the 4 channels"),
        (nn.group_norm(4), (2, 1, 4), r"each of the 4 groups .* single value"),
        (nn.group_norm(1), (4,), r"expected \(batch, ..., channels\)"),
        (nn.instance_norm(), (2, 1, 1, 3), "at least 2 positions in between"),
        (nn.instance_norm(), (2, 3), "at least 2 positions in between"),
        (nn.local_response_norm(2), (), r"expected \(..., channels\)"),
    ],
)
def test_shapes_are_checked(layer, shape, message):
    """At init, by the shape alone."""
    with pytest.raises(nn.LayerError, match=message):
        layer.init(jax.random.key(0), jnp.ones(shape))


@pytest.mark.parametrize(
    "layer",
    [nn.layer_norm(), nn.rms_norm(), nn.group_norm(2), nn.instance_norm(),
     nn.local_response_norm(2), nn.batch_norm()],
    ids=lambda layer: layer.kind,
)  # fmt: skip
def test_integers_are_refused(layer):
    """With a hint to convert them."""
    with pytest.raises(nn.LayerError, match=r"convert them first: x.astype"):
        layer.init_with_state(jax.random.key(0), jnp.ones((2, 3, 4), "uint8"))


def test_batch_norm_names_the_axis_that_is_missing():
    """Training outside of the axis, or under one of another name."""
    layer, x = nn.batch_norm(axis_name="devices"), batch(4, 3)
    params, state = layer.init_with_state(jax.random.key(0), x)

    with pytest.raises(nn.LayerError, match=r"no jax\.vmap or jax\.shard_map around"):
        layer.apply_with_state(params, state, x, train=True)


def test_batch_norm_needs_two_values_on_all_devices_together():
    """One value for each channel in all has no variance."""
    layer, x = nn.batch_norm(axis_name="devices"), batch(1, 1, 3)
    params, state = layer.init_with_state(jax.random.key(0), x[0])

    with pytest.raises(nn.LayerError, match="at least 2 values for each channel"):
        over_devices(layer, params, state, x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda f, x: f.layer_norm(x, jnp.ones(3)),
            r"weight and bias of shape \(4,\) for float..\[2,3,4\], got float..\[3\]",
        ),
        (lambda f, x: f.layer_norm(x, None, jnp.ones(4), axes=2), r"of shape \(3, 4\)"),
        (lambda f, x: f.rms_norm(x, jnp.ones((1, 4))), r"shape \(4,\)"),
        (lambda f, x: f.group_norm(x, 2, jnp.ones(2)), r"shape \(4,\)"),
        (lambda f, x: f.instance_norm(x, jnp.ones(4), jnp.ones(1)), r"shape \(4,\)"),
        (
            lambda f, x: f.weight_norm(x, jnp.ones(3)),
            r"expected a gain of shape \(4,\)",
        ),
        (
            lambda f, x: f.spectral_norm(x, jnp.ones(4), jnp.ones(3)),
            r"u \(out,\) and v \(everything else,\), got \(float..\[2,3,4\]",
        ),
        (
            lambda f, x: f.spectral_norm(x[0, 0], jnp.ones(4), jnp.ones(1)),
            r"expected a weight \(..., in, out\)",
        ),
        (
            lambda f, x: f.spectral_norm(x, jnp.ones(4), jnp.ones(6), iterations=-1),
            "iterations must be an int of at least 0",
        ),
    ],
)
def test_array_functions_check_their_params(call, message):
    """Shapes that broadcasting would take are refused as well."""
    with pytest.raises(nn.LayerError, match=message):
        call(nn.functional, jnp.ones((2, 3, 4)))


def test_array_functions_keep_their_dtypes():
    """Half precision goes in and comes out; u and v stay wide."""
    weight = batch(3, 4).astype("bfloat16")

    assert nn.functional.weight_norm(weight, jnp.ones(4)).dtype == "bfloat16"
    u, v = jnp.ones(4, "float32"), jnp.ones(3, "float32")
    outputs = nn.functional.spectral_norm(weight, u, v)
    assert [str(y.dtype) for y in outputs] == ["bfloat16", "float32", "float32"]
