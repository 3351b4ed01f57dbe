"""Laws that every loss obeys, run over the whole catalogue of losses."""

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
from catalogue.losses import LOSSES

import lenetjax as nn

every_loss = pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)


def floating(array):
    return np.issubdtype(array.dtype, np.floating)


@every_loss
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_jit_changes_nothing(case, reduction):
    """A compiled loss is the eager one."""

    def loss(*arguments):
        return case.loss(*arguments, reduction=reduction)

    np.testing.assert_allclose(
        jax.jit(loss)(*case.arguments), loss(*case.arguments), rtol=1e-5
    )


@every_loss
def test_reductions_agree(case):
    """The sum and the mean are those of the single losses, one for each example."""
    each = case.loss(*case.arguments, reduction="none")

    assert each.shape[:1] == case.arguments[0].shape[:1]
    total = case.loss(*case.arguments, reduction="sum")
    np.testing.assert_allclose(total, each.sum(), rtol=1e-5)
    assert total.shape == ()
    if case.plain_mean:
        mean = case.loss(*case.arguments)
        np.testing.assert_allclose(mean, each.mean(), rtol=1e-5)


@every_loss
def test_an_example_is_alone(case):
    """An example's loss does not depend on the others."""
    each = case.loss(*case.arguments, reduction="none")

    one = case.loss(*(array[1:2] for array in case.arguments), reduction="none")

    np.testing.assert_allclose(one, each[1:2], rtol=1e-5)


@every_loss
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_the_dtype_is_that_of_the_input(case, dtype):
    """And half precision is close to float32."""
    with jax.enable_x64(dtype == "float64"):
        arguments = [
            jnp.asarray(array, dtype if floating(array) else array.dtype)
            for array in case.arguments
        ]
        loss = case.loss(*arguments)

    assert loss.dtype == dtype
    want = case.loss(*case.arguments)
    np.testing.assert_allclose(float(loss), float(want), rtol=0.03, atol=0.01)


@every_loss
def test_gradients_are_right(case):
    """They agree with finite differences, for every floating argument."""
    with jax.enable_x64(True):
        arguments = [
            jnp.asarray(array, "float64" if floating(array) else array.dtype)
            for array in case.arguments
        ]
        # targets are not differentiated: they must stay what a target is
        differentiable = [
            i for i, array in enumerate(arguments) if floating(array) and i != 1
        ]
        if case.name in ("l1", "mse", "huber", "smooth_l1", "triplet_margin"):
            differentiable.append(1)

        def loss(moved):
            given = list(arguments)
            for i, array in zip(differentiable, moved, strict=True):
                given[i] = array
            return case.loss(*given)

        moved = [arguments[i] for i in differentiable]
        jax.test_util.check_grads(jax.jit(loss), (moved,), 1, eps=1e-6)


@every_loss
def test_nothing_is_broadcast(case):
    """Arguments for another number of examples are refused, with the loss's name."""
    first, *others = case.arguments

    with pytest.raises(nn.LayerError, match=case.name.split()[0]):
        case.loss(first[:1], *others)


@every_loss
def test_an_unknown_reduction_is_refused(case):
    """With those that there are."""
    with pytest.raises(nn.LayerError, match=r"reduction must be .*got 'average'"):
        case.loss(*case.arguments, reduction="average")
