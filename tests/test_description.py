"""Nets as plain data, and back."""

import functools
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import CATALOGUE

import lenetjax as nn
from lenetjax.description import COMBINATORS, FUNCTIONS, LAYERS, WRAPPERS


def kinds(net):
    return {layer.kind for _, layer in net.walk()}


KNOWN = {*COMBINATORS, *FUNCTIONS, *LAYERS, *WRAPPERS}
REBUILDABLE = [case for case in CATALOGUE if kinds(case.layer) <= KNOWN]


@pytest.mark.parametrize("case", REBUILDABLE, ids=lambda case: case.name)
def test_a_net_is_rebuilt_from_json(case):
    """The rebuilt net takes the same params and is the same program."""
    text = json.dumps(nn.describe(case.layer))
    rebuilt = nn.build(json.loads(text))

    want, constants = program(case.layer, case.input())
    got, their_constants = program(rebuilt, case.input())
    assert got == want
    jax.tree.map(np.testing.assert_array_equal, their_constants, constants)


def program(net, x):
    """What a net computes in evaluation, as text, and the constants in it."""
    x = jax.tree.map(jnp.asarray, x)
    plan = net.plan(x)
    traced = jax.make_jaxpr(
        lambda params, state, x: net.apply_with_state(params, state, x, train=False)
    )(plan.params, plan.state, x)
    return re.sub("0x[0-9a-f]+", "", str(traced)), traced.consts


def test_another_setting_is_another_program():
    """The law above can fail."""
    x = jnp.ones((2, 8, 8, 3))
    one = program(nn.conv2d(4, 3, padding=1), x)
    assert one[0] != program(nn.conv2d(4, 3, padding=1, padding_mode="reflect"), x)[0]
    assert one[0] != program(nn.conv2d(4, 3, padding=1, bias=False), x)[0]


def test_most_of_the_catalogue_can_be_rebuilt():
    """The law above is about all public layers, not about a few."""
    names = {kind for case in REBUILDABLE for kind in kinds(case.layer)}

    assert names >= {*LAYERS, *COMBINATORS, *WRAPPERS}


def test_a_function_of_your_own_is_not_taken_for_jax_s():
    """A function that shares its name with one of jax.nn is refused, not replaced."""

    def relu(x):
        return jnp.clip(x, 0, 6)

    for function in (relu, functools.partial(jax.nn.leaky_relu, jnp.ones(2))):
        with pytest.raises(nn.LayerError, match="unknown kind"):
            nn.build(nn.describe(nn.serial(act=function)))


def test_layers_of_your_own_are_named():
    """A kind of one's own is built by the function that is given for it."""

    def scale(factor):
        return nn.layer(
            scale,
            nn.no_params,
            lambda params, x: factor * x,
            settings={"factor": factor},
        )

    description = nn.describe(nn.serial(double=scale(2.0)))
    net = nn.build(description, kinds={"scale": scale})

    np.testing.assert_array_equal(net.apply({}, jnp.ones(2)), [2, 2])
    with pytest.raises(nn.LayerError, match=r"unknown kind 'scale'.*kinds="):
        nn.build(description)


@pytest.mark.parametrize(
    "description",
    [
        {},
        [],
        {"kind": "linear", "settings": {"nonsense": 1}, "children": {}},
        {"kind": "linear", "settings": {"features": -1}, "children": {}},
        {"kind": "os.system", "settings": {"command": "true"}, "children": {}},
        {"kind": "relu", "settings": {"x": 1}, "children": {}},
        {"kind": "serial", "settings": {}, "children": {"a": {"kind": "eval"}}},
        {"kind": ["linear"], "settings": {}, "children": {}},
        {"kind": "repeat", "settings": {"n": 2}, "children": {}},
        {"kind": "residual", "settings": {}, "children": {}},
    ],
)
def test_a_bad_description_is_refused(description):
    """Data that describes no net is a LayerError, and nothing in it is run."""
    with pytest.raises(nn.LayerError):
        nn.build(description)
