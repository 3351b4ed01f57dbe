"""Compares what we compute with PyTorch, and the gradients too.

PyTorch computes in float64, on inputs that float32 can hold. Ours must agree to 1e-10
in float64 and to 1e-5 in float32, relative to the largest value of each array.
"""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs lenetjax[torch]")
torch.set_num_threads(1)

TOLERANCE = {"float64": 1e-10, "float32": 1e-5}


def given(*args, **kwargs):
    """Hypothesis's `given`, with a fifth of the examples, as each compiles programs."""
    examples = max(1, hypothesis.settings.default.max_examples // 5)

    def decorate(test):
        return hypothesis.settings(max_examples=examples)(
            hypothesis.given(*args, **kwargs)(test)
        )

    return decorate


def first(x):
    """Moves the channels from the last axis, where ours are, to where PyTorch's are."""
    return x.movedim(-1, 1)


def last(x):
    """Moves the channels back to the last axis."""
    return x.movedim(1, -1)


def filters(weight):
    """Turns a weight (...kernel..., in, out) into PyTorch's (out, in, ...kernel...)."""
    return weight.movedim((-1, -2), (0, 1))


def draw(seed, *shape, scale=1.0):
    """Makes normal values that float32 can hold exactly."""
    values = np.random.default_rng(seed).normal(size=shape) * scale
    return values.astype("float32").astype("float64")


def ties(seed, *shape):
    """Makes values of which many are equal."""
    return np.random.default_rng(seed).integers(-2, 3, size=shape).astype("float64")


def agree(ours, theirs, *arrays, gradients=True, dtypes=("float64", "float32")):
    """Asserts that two functions give equal outputs and gradients for equal arrays.

    Args:
      ours: a function of JAX arrays that returns an array, or a tuple of arrays.
      theirs: the same for tensors, in our layout: `first` and `last` move the channels.
      arrays: NumPy arrays; gradients are taken of the floating ones.
      gradients: whether to compare gradients.
      dtypes: what ours is computed in.
    """
    arrays = [np.asarray(array) for array in arrays]
    floating = [np.issubdtype(array.dtype, np.floating) for array in arrays]
    arrays = [
        array.astype("float64") if floats else array
        for array, floats in zip(arrays, floating, strict=True)
    ]
    tensors = [
        torch.tensor(array, requires_grad=gradients and floats)
        for array, floats in zip(arrays, floating, strict=True)
    ]
    want = as_tuple(theirs(*tensors))
    upstream = [draw(7 + i, *y.shape) for i, y in enumerate(want)]
    wanted_gradients = []
    if gradients:
        total = sum(
            (y * torch.tensor(u)).sum() for y, u in zip(want, upstream, strict=True)
        )
        wanted_gradients = torch.autograd.grad(
            total,
            [t for t, floats in zip(tensors, floating, strict=True) if floats],
            allow_unused=True,
            materialize_grads=True,
        )

    for dtype in dtypes:
        with jax.enable_x64(dtype == "float64"):
            outputs, got = run(ours, arrays, floating, upstream, gradients, dtype)
        assert len(outputs) == len(want)
        for i, (one, other) in enumerate(zip(outputs, want, strict=True)):
            near(one, other.detach().numpy(), dtype, f"output {i}")
        # A gradient that is zero in theory may be PyTorch's rounding of the others.
        rounding = 1e-15 * max(
            (largest(g.numpy()) for g in wanted_gradients), default=0
        )
        for i, (one, other) in enumerate(zip(got, wanted_gradients, strict=True)):
            near(one, other.numpy(), dtype, f"gradient {i}", rounding)


def run(ours, arrays, floating, upstream, gradients, dtype):
    """Computes our outputs, and the gradients of the floating arguments."""

    @jax.jit
    def outputs_and_gradients(variables, constants, upstream):
        def forward(variables):
            pools = {True: iter(variables), False: iter(constants)}
            return as_tuple(ours(*(next(pools[floats]) for floats in floating)))

        if not gradients:
            return forward(variables), ()
        outputs, pullback = jax.vjp(forward, variables)
        return outputs, pullback(tuple(upstream))[0]

    pairs = list(zip(arrays, floating, strict=True))
    variables = [jnp.asarray(array, dtype) for array, floats in pairs if floats]
    constants = [jnp.asarray(array) for array, floats in pairs if not floats]
    upstream = [jnp.asarray(u, dtype) for u in upstream]
    return outputs_and_gradients(variables, constants, upstream)


def near(got, want, dtype, what, rounding=0):
    """Asserts equality up to a share of the largest value; NaN and inf must match."""
    got = np.asarray(got)
    assert got.dtype == dtype, f"{what}: {got.dtype}, wanted {dtype}"
    assert got.shape == want.shape, f"{what}: {got.shape}, wanted {want.shape}"
    np.testing.assert_allclose(
        got,
        want,
        rtol=TOLERANCE[dtype],
        atol=TOLERANCE[dtype] * largest(want) + rounding,
        err_msg=f"{what} in {dtype}",
    )


def largest(array):
    """The largest finite magnitude."""
    finite = array[np.isfinite(array)]
    return np.abs(finite).max() if finite.size else 0.0


def as_tuple(outputs):
    return outputs if isinstance(outputs, tuple) else (outputs,)
