"""Masks, counts and flat names of params, and optax with them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lenetjax as nn

PARAMS = nn.models.lenet().init(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))


def chosen(*patterns, params=PARAMS):
    marked = nn.flat(nn.mask(params, *patterns))
    return sorted(name for name, wanted in marked.items() if wanted)


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["conv1/weight"], ["conv1.weight"]),
        (["conv*/weight"], ["conv1.weight", "conv2.weight"]),
        (["conv?/bias"], ["conv1.bias", "conv2.bias"]),
        (["fc3/*"], ["fc3.bias", "fc3.weight"]),
        (["fc1/*", "fc2/bias"], ["fc1.bias", "fc1.weight", "fc2.bias"]),
        (["**/bias"], [f"{n}.bias" for n in ("conv1", "conv2", "fc1", "fc2", "fc3")]),
    ],
)
def test_patterns_choose_paths(patterns, names):
    """Stars stay within a name, double ones do not."""
    assert chosen(*patterns) == names


def test_a_star_stays_within_a_name():
    """Params deeper inside are reached by two stars alone."""
    params = {"a": {"b": {"w": 1.0}, "w": 2.0}, "w": 3.0}

    assert chosen("*", params=params) == ["w"]
    assert chosen("*/w", params=params) == ["a.w"]
    assert chosen("a/**", params=params) == ["a.b.w", "a.w"]
    assert chosen("**", params=params) == ["a.b.w", "a.w", "w"]
    assert chosen(params=params) == []


def test_other_signs_stand_for_themselves():
    """No sign but the star and the question mark means anything."""
    params = {"a+": 1.0, "aa": 2.0, "[b]": 3.0}

    assert chosen("a+", params=params) == ["a+"]
    assert chosen("[b]", params=params) == ["[b]"]


@pytest.mark.parametrize("function", [nn.mask, nn.count])
def test_a_pattern_that_matches_nothing_is_refused(function):
    """The names that there are are shown."""
    with pytest.raises(
        nn.LayerError, match=r"no params match 'cnov\*/weight'; there are: conv1/bias, "
    ):
        function(PARAMS, "conv*/weight", "cnov*/weight")


def test_counts():
    """All numbers, or those of some arrays."""
    assert nn.count(PARAMS) == 81_194
    assert nn.count(PARAMS, "conv1/weight", "**/bias") == 54 + 6 + 16 + 120 + 84 + 10
    assert nn.count({}) == 0
    assert nn.count(nn.mask(PARAMS, "fc1/*") and PARAMS, "fc1/*") == 576 * 120 + 120


def test_flat_and_back():
    """Names with dots, the same arrays, in the order of the params."""
    listed = nn.flat(PARAMS)

    assert list(listed)[:3] == ["conv1.bias", "conv1.weight", "conv2.bias"]
    assert listed["fc1.weight"] is PARAMS["fc1"]["weight"]
    back = nn.unflat(listed)
    assert jax.tree.structure(back) == jax.tree.structure(PARAMS)
    assert nn.flat({}) == nn.unflat({}) == {}


@pytest.mark.parametrize(
    ("function", "tree", "message"),
    [
        (nn.flat, {"a.b": 1}, "'a.b' has a dot in it"),
        (nn.flat, [1], "params must be a dict"),
        (nn.flat, {1: 2}, "strings as keys"),
        (nn.unflat, {"a": 1, "a.b": 2}, "'a.b' lies inside of an array, 'a'"),
        (nn.unflat, {"a.b": 2, "a": 1}, "'a' is the name of an array and of a dict"),
    ],
)
def test_what_cannot_be_named_is_refused(function, tree, message):
    """With the name that is wrong."""
    with pytest.raises(nn.LayerError, match=message):
        function(tree)


def step(optimizer):
    """The change of each param in one step, for gradients of one."""
    gradients = jax.tree.map(jnp.ones_like, PARAMS)
    updates, _ = optimizer.update(gradients, optimizer.init(PARAMS), PARAMS)
    return nn.flat(updates)


def test_weight_decay_of_some_params():
    """Biases are left out."""
    weights = nn.mask(PARAMS, "**/weight")

    changes = step(optax.masked(optax.add_decayed_weights(0.5), weights))

    np.testing.assert_allclose(changes["fc1.bias"], 1)
    np.testing.assert_allclose(
        changes["fc1.weight"], 1 + 0.5 * PARAMS["fc1"]["weight"], rtol=1e-6
    )


def test_freezing_and_learning_rates():
    """Some params stay, and others move by a rate of their own."""
    head = nn.mask(PARAMS, "fc3/*")

    frozen = step(
        optax.partition({True: optax.sgd(1.0), False: optax.set_to_zero()}, head)
    )
    two = step(optax.partition({True: optax.sgd(1.0), False: optax.sgd(0.1)}, head))

    for name in nn.flat(PARAMS):
        np.testing.assert_allclose(frozen[name], -1.0 if "fc3" in name else 0)
        np.testing.assert_allclose(two[name], -1.0 if "fc3" in name else -0.1)
