"""Laws that every layer obeys, run over the whole catalogue."""

import json

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
from catalogue import CATALOGUE

import lenetjax as nn


def cases(*, among=CATALOGUE, **flags):
    """Parametrizes a test over the catalogue's cases with these flags."""
    chosen = [
        case
        for case in among
        if all(getattr(case, flag) is value for flag, value in flags.items())
    ]
    return pytest.mark.parametrize("case", chosen, ids=lambda case: case.name)


MODES = [
    pytest.param(case, train, id=f"{case.name}-{'train' if train else 'eval'}")
    for case in CATALOGUE
    for train in (False, True)
]
both_modes = pytest.mark.parametrize(("case", "train"), MODES)
modes_that_differ = pytest.mark.parametrize(
    ("case", "train"),
    [
        mode
        for mode in MODES
        if not mode.values[1] or mode.values[0].random or mode.values[0].state
    ],
)


def run(case, params, state, x, train=False, seed=2):
    """Applies a case's layer, with a key."""
    return case.layer.apply_with_state(
        params, state, x, key=jax.random.key(seed), train=train
    )


def specs(tree):
    """The shape and dtype of each array."""
    return jax.tree.map(lambda array: (array.shape, str(array.dtype)), tree)


def assert_close(got, want, rtol=1e-5, atol=1e-5):
    """Compares two trees of arrays, structure included."""
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(
            np.asarray(one, "float64"), np.asarray(other, "float64"), rtol, atol
        )


def assert_equal(got, want):
    """Compares two trees of arrays bit by bit, dtypes included."""
    assert specs(got) == specs(want)
    jax.tree.map(np.testing.assert_array_equal, got, want)


def differs(one, other):
    """Whether any array differs between two trees."""
    return any(
        bool((a != b).any())
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


@modes_that_differ
def test_jit_changes_nothing(case, train):
    """A compiled layer returns what the eager one does: output and state."""
    params, state, x = case.example()

    want = run(case, params, state, x, train)
    got = jax.jit(lambda p, s, x: run(case, p, s, x, train))(params, state, x)

    assert_close(got, want)


@cases()
def test_vmap_over_examples_is_the_batch(case):
    """In evaluation an example's output does not depend on its neighbours."""
    params, state, x = case.example()

    want = case.layer.apply(params, x, state=state)
    got = jax.vmap(lambda one: case.layer.apply(params, one[None], state=state))(x)

    assert_close(jax.tree.map(lambda y: y[:, 0], got), want)


@both_modes
def test_shapes_are_foretold(case, train):
    """The plan and `jax.eval_shape` know the shapes and dtypes before any work."""
    params, state, x = case.example()

    y, new_state = run(case, params, state, x, train)
    plan = case.layer.plan(x)
    abstract = jax.eval_shape(
        lambda p, s, x: run(case, p, s, x, train), params, state, x
    )

    assert specs(plan.y) == specs(abstract[0]) == specs(y)
    assert specs(plan.params) == specs(params)
    assert specs(plan.state) == specs(state) == specs(new_state)


@cases()
def test_init_reads_the_shape_alone(case):
    """An array, its `ShapeDtypeStruct` and a traced array give the same params."""
    params, state, x = case.example()
    key = jax.random.key(0)

    from_spec = case.layer.init_with_state(key, jax.ShapeDtypeStruct(x.shape, x.dtype))
    abstract = jax.eval_shape(case.layer.init_with_state, key, x)
    compiled = jax.jit(case.layer.init_with_state)(key, x)

    assert_equal(from_spec, (params, state))
    assert specs(abstract) == specs((params, state))
    assert_close(compiled, (params, state), rtol=1e-6, atol=1e-7)


@modes_that_differ
def test_gradients_are_right(case, train):
    """First and second derivatives agree with finite differences, both ways."""
    with jax.enable_x64(True):
        params, state, x = case.example("float64")

        @jax.jit
        def forward(params, x):
            y, _ = run(case, params, state, x, train)
            return jax.tree.map(jnp.sin, y)  # so that no second derivative is zero

        assert specs(jax.eval_shape(forward, params, x)) == specs(case.layer.plan(x).y)
        jax.test_util.check_grads(
            forward,
            (params, x),
            order=2,
            modes=("fwd", "rev"),
            eps=1e-6,
            atol=1e-5,
            rtol=1e-5,
        )


@cases(random=True)
def test_another_key_draws_other_numbers(case):
    """In training a random layer's output depends on the key."""
    params, state, x = case.example()

    one, _ = run(case, params, state, x, train=True, seed=3)
    other, _ = run(case, params, state, x, train=True, seed=4)

    assert differs(one, other)


@cases(random=False)
def test_no_key_is_needed_without_randomness(case):
    """A layer that draws nothing gives the same output under any key."""
    params, state, x = case.example()

    one = run(case, params, state, x, train=True, seed=3)
    other = run(case, params, state, x, train=True, seed=4)

    assert_equal(one, other)


@cases(drawn=True)
def test_another_key_draws_other_params(case):
    """The initial values depend on the key."""
    params, _, x = case.example()

    others, _ = case.layer.init_with_state(jax.random.key(9), x)

    assert differs(params, others)


@cases()
def test_no_key_is_used_twice(case):
    """Neither init nor training consumes a random key more than once."""
    params, state, x = case.example()

    with jax.debug_key_reuse(True):
        case.layer.init_with_state(jax.random.key(0), x)
        run(case, params, state, x, train=True)
        jax.jit(lambda key: case.layer.init_with_state(key, x))(jax.random.key(0))


@both_modes
def test_equal_arguments_give_equal_results(case, train):
    """Nothing but its arguments enters a call, bit for bit."""
    params, state, x = case.example()

    first = run(case, params, state, x, train)
    run(case, params, state, x + 1, not train, seed=7)
    again = run(case, params, state, x, train)

    assert_equal(again, first)
    assert_equal(
        case.layer.init_with_state(jax.random.key(0), x),
        (params, state),
    )


@cases()
def test_evaluation_needs_no_key_and_keeps_the_state(case):
    """Evaluation is deterministic, whatever the key, and changes no state."""
    params, state, x = case.example()

    y, new_state = case.layer.apply_with_state(params, state, x, train=False)

    assert_equal(case.layer.apply(params, x, state=state), y)
    assert_equal(run(case, params, state, x, train=False)[0], y)
    assert_equal(new_state, state)


@cases()
def test_training_moves_the_state_of_stateful_layers_alone(case):
    """Training changes the state's values where there are any, and nothing else."""
    params, state, x = case.example()

    _, new_state = run(case, params, state, x, train=True)

    assert bool(state) is case.state
    assert specs(new_state) == specs(state)
    assert differs(new_state, state) is case.state


@cases()
def test_params_are_plain_dicts_of_arrays(case):
    """Params and state are dicts with string names, arrays at the ends, none empty."""
    params, state, _ = case.example()

    def check(tree):
        for name, entry in tree.items():
            assert type(name) is str
            if type(entry) is dict:
                assert entry, f"{name} is empty"
                check(entry)
            else:
                assert isinstance(entry, jax.Array)

    assert type(params) is type(state) is dict
    check(params)
    check(state)


@modes_that_differ
def test_numpy_arrays_serve_as_well(case, train):
    """NumPy input, params and state give the same output as JAX arrays."""
    params, state, x = case.example()
    as_numpy = jax.tree.map(np.asarray, (params, state, x))

    got = run(case, *as_numpy, train)

    assert_close(got, run(case, params, state, x, train), rtol=1e-6, atol=1e-6)
    assert_equal(case.layer.init_with_state(jax.random.key(0), as_numpy[2])[0], params)


@both_modes
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_stays_half(case, train, dtype):
    """Half-precision input makes half-precision params and output, and close ones."""
    params, state, x = case.example(dtype)
    wide = jax.tree.map(lambda array: array.astype("float32"), (params, state, x))

    y, _ = run(case, params, state, x, train)

    assert {str(array.dtype) for array in jax.tree.leaves((params, y))} == {dtype}
    if case.name != "noisy":  # it draws other numbers in another dtype
        want, _ = run(case, *wide, train)
        tolerance = 0.1 if dtype == "bfloat16" else 0.02
        assert_close(y, want, rtol=tolerance, atol=tolerance)


@both_modes
def test_arguments_are_left_alone(case, train):
    """A call writes into none of its arguments."""
    params, state, x = jax.tree.map(np.array, case.example())
    before = jax.tree.map(np.copy, (params, state, x))

    run(case, params, state, x, train)

    assert_equal((params, state, x), before)


@cases()
def test_settings_are_plain_data(case):
    """JSON can hold what each layer says about itself."""
    for _, layer in case.layer.walk():
        assert type(layer.kind) is str
        json.dumps(layer.settings, allow_nan=False)


@cases()
def test_repr_names_every_child(case):
    """Printing a net shows each layer inside it by name and kind."""
    text = repr(case.layer)

    for path, layer in case.layer.walk():
        name = path.rpartition("/")[2]
        assert f"({name}): {layer.kind}" in text or not path


@cases()
def test_the_description_is_never_read(case):
    """Init and apply work alike when kind, settings and children say nothing."""
    params, state, x = case.example()
    want = run(case, params, state, x)
    net = case.layer

    saved = [dict(layer.settings) for _, layer in net.walk()]
    for _, layer in net.walk():
        layer.settings.clear()
    try:
        got = run(case, params, state, x)
        drawn = net.init_with_state(jax.random.key(0), x)
    finally:
        for settings, (_, layer) in zip(saved, net.walk(), strict=True):
            layer.settings.update(settings)

    assert_equal(got, want)
    assert_equal(drawn, (params, state))


@cases()
def test_a_layer_unpacks_into_its_pair(case):
    """`init, apply = net` gives the two verbs themselves."""
    init, apply = case.layer

    assert init == case.layer.init
    assert apply == case.layer.apply


def test_the_key_reuse_check_bites():
    """A layer that uses its key twice is found, so the law above can fail."""

    def apply(params, x, *, key, train):
        return jax.random.normal(key, x.shape) - jax.random.normal(key, x.shape)

    careless = nn.serial(careless=nn.layer("careless", nn.no_params, apply))

    with (
        jax.debug_key_reuse(True),
        pytest.raises(nn.LayerError, match=r"consumed(.*\n)*.*careless"),
    ):
        careless.apply({}, jnp.ones(3), key=jax.random.key(0), train=True)
