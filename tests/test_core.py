"""The contract of a layer, rule by rule, and what it refuses in which words."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lenetjax as nn

IMAGES = np.linspace(0, 1, 2 * 8 * 8, dtype=np.float32).reshape(2, 8, 8, 1)


def fresh():
    return jax.random.key(0)


def small_net():
    return nn.serial(
        conv1=nn.conv2d(3, 3),
        relu1=jax.nn.relu,
        block=nn.serial(flatten=nn.flatten(), fc1=nn.linear(4)),
    )


def net_with_state():
    return nn.serial(block=nn.serial(bn=nn.batch_norm(), drop=nn.dropout(0.5)))


def refused(call, *words, error=nn.LayerError):
    """Calls something that must be refused with all these words, and returns it all."""
    with pytest.raises(error) as refusal:
        call()
    for word in words:
        assert word in str(refusal.value)
    return refusal.value


def test_a_layer_unpacks_into_its_pair():
    """``init, apply = net`` gives the two verbs (rule 1)."""
    init, apply = net = nn.linear(3)

    params = init(fresh(), jnp.ones((2, 4)))

    np.testing.assert_array_equal(
        apply(params, jnp.ones((2, 4))), net.apply(params, jnp.ones((2, 4)))
    )


def test_the_return_type_depends_on_the_verb():
    """apply gives y alone; the long verbs give pairs on every net (rule 1)."""
    for net in (nn.linear(3), net_with_state()):
        params, state = net.init_with_state(fresh(), IMAGES)

        y, new_state = net.apply_with_state(
            params, state, IMAGES, key=fresh(), train=True
        )

        assert isinstance(net.apply(params, IMAGES, state=state), jax.Array)
        assert isinstance(y, jax.Array)
        assert jax.tree.structure(new_state) == jax.tree.structure(state)
    assert nn.linear(3).init_with_state(fresh(), IMAGES)[1] == {}


def test_the_wrong_verb_teaches():
    """Each message names the layer concerned and the verb to use (rule 2)."""
    net = net_with_state()
    params, state = net.init_with_state(fresh(), IMAGES)

    refused(lambda: net.init(fresh(), IMAGES), "block/bn", "init_with_state")
    refused(lambda: net.apply(params, IMAGES), "block/bn", "state=state")
    refused(
        lambda: net.apply(params, IMAGES, state=state, key=fresh(), train=True),
        "block/bn",
        "apply_with_state",
    )
    refused(
        lambda: net.apply_with_state(params, state, IMAGES, train=True),
        "block/drop",
        "dropout(0.5)",
        "key=jax.random.key",
    )


def test_train_must_be_said_where_state_changes():
    """apply_with_state has no default for train."""
    with pytest.raises(TypeError, match="train"):
        nn.linear(3).apply_with_state({}, {}, IMAGES)


@pytest.mark.parametrize("train", [1, None, "yes", jnp.array(True)])
def test_train_is_a_python_bool(train):
    """Anything else is a TypeError (rule 3)."""
    call = functools.partial(
        nn.dropout(0.5).apply, {}, IMAGES, key=fresh(), train=train
    )

    refused(call, "train must be a Python bool", error=TypeError)


@pytest.mark.compiled
def test_a_traced_train_is_refused():
    """Under jit the message says how to fix the mode (rule 3)."""

    @jax.jit
    def step(train):
        return nn.dropout(0.5).apply({}, IMAGES, key=fresh(), train=train)

    refused(lambda: step(True), "Python bool", "static_argnames", error=TypeError)


def test_a_key_follows_from_the_name():
    """A layer that is put between others leaves their initial values (rule 4)."""
    short = nn.serial(a=nn.linear(4), c=nn.linear(4))
    long = nn.serial(a=nn.linear(4), b=nn.linear(4), c=nn.linear(4))

    one, other = (
        short.init(fresh(), jnp.ones((1, 4))),
        long.init(fresh(), jnp.ones((1, 4))),
    )

    for name in ("a", "c"):
        jax.tree.map(np.testing.assert_array_equal, one[name], other[name])
    assert not np.array_equal(other["a"]["weight"], other["b"]["weight"])


def test_names_with_equal_numbers_are_refused():
    """Two siblings never share their random keys, not even by a hash collision."""
    import zlib

    assert zlib.crc32(b"plumless") == zlib.crc32(b"buckeroo")
    refused(
        lambda: nn.serial(plumless=nn.linear(1), buckeroo=nn.linear(1)),
        "plumless",
        "buckeroo",
        "rename",
    )


def test_params_are_plain_dicts_without_empty_entries():
    """Layers without params leave no entry; positions are names (rule 5)."""
    net = nn.serial(nn.linear(3), jax.nn.relu, nn.dropout(0.1), nn.linear(2))

    params, state = net.init_with_state(fresh(), jnp.ones((2, 4)))

    assert set(params) == {"0", "3"}
    assert type(params) is dict
    assert type(params["0"]) is dict
    assert state == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda state: {"n": state["n"].astype(jnp.float32)},
        lambda state: {"n": jnp.zeros(2, jnp.int32)},
        lambda state: {"m": state["n"]},
        lambda state: {},
    ],
    ids=["dtype", "shape", "name", "missing"],
)
def test_new_state_has_the_old_one_s_structure(change):
    """A layer that changes the names, shapes or dtypes is refused (rule 5)."""
    careless = nn.layer(
        "careless",
        lambda key, x: ({}, {"n": jnp.zeros((), jnp.int32)}),
        lambda params, x, *, state: (x, change(state)),
    )

    refused(
        lambda: nn.serial(a=careless).init_with_state(fresh(), IMAGES),
        "'a'",
        "new state",
    )


def test_a_plain_function_is_a_layer():
    """jnp.tanh needs no wrapper (rule 6); what is no function is refused."""
    np.testing.assert_array_equal(
        nn.serial(jnp.tanh).apply({}, IMAGES), np.asarray(jnp.tanh(IMAGES))
    )
    refused(lambda: nn.serial(3), "expected a layer or a function", "int")
    refused(lambda: nn.serial(nn.flatten), "flatten(...)")
    refused(lambda: nn.serial(nn.linear), "linear(...)")


def test_shapes_are_found_once_per_layer():
    """Nesting does not trace a layer more often (rule 7)."""
    traced = []

    def apply(params, x):
        traced.append(x.shape)
        return x

    net = nn.layer("counted", nn.no_params, apply)
    for _ in range(6):
        net = nn.compose(lambda net, x: net.inner(x), inner=nn.serial(net))

    net.plan(IMAGES)

    assert len(traced) == 1


def test_plans_are_remembered():
    """A second call with inputs of the same shape plans nothing again."""
    net = small_net()

    assert net.plan(IMAGES) is net.plan(jnp.zeros_like(IMAGES))
    for n in range(1, 100):
        net.plan(jax.ShapeDtypeStruct((n, 8, 8, 1), jnp.float32))
    assert len(net._plans) <= 64


def test_an_error_inside_a_layer_tells_the_story():
    """Path, repr, input, params and the chain of shapes; the cause stays (rule 8)."""

    def apply(params, x):
        if isinstance(x, jax.core.Tracer):
            return x  # the plan passes, the run does not
        raise KeyError("what the author did")

    broken = nn.layer("broken", lambda key, x: {"gain": jnp.ones(3, x.dtype)}, apply)
    net = nn.serial(fc=nn.linear(5), block=nn.serial(bad=broken))
    x = jnp.ones((2, 4), "float32")
    params = net.init(fresh(), x)

    error = refused(
        lambda: net.apply(params, x),
        "layer 'block/bad' = broken",
        "what the author did",
        "input:  float32[2,5]",
        "params: gain float32[3]",
        "input float32[2,4] -> fc float32[2,5] -> here",
    )
    assert error.path == "block/bad"
    assert isinstance(error.__cause__, KeyError)
    assert isinstance(error, ValueError)


def test_errors_name_the_layer_under_jit_too():
    """A compiled call is refused in the same words."""
    net = small_net()
    params = net.init(fresh(), IMAGES)

    refused(lambda: jax.jit(net.apply)(params, IMAGES[0]), "'conv1'", "x[None]")


def test_each_child_runs_under_its_name():
    """Profiles and jaxprs carry the user's names, nested, then settings (rule 9)."""
    net = small_net()
    params = net.init(fresh(), IMAGES)

    compiled = jax.jit(net.apply).lower(params, IMAGES).as_text(debug_info=True)

    assert "conv1/conv2d(3, kernel_size=3)/conv2d/dot_general" in compiled
    assert "block/fc1/linear(4)/linear/dot_general" in compiled


def test_a_layer_describes_itself():
    """Kind, settings and children are plain data, and print as a listing (rule 10)."""
    net = nn.serial(a=nn.conv2d(6, 3, stride=2), b=nn.serial(c=jnp.tanh))

    assert net.children["a"].kind == "conv2d"
    assert net.children["a"].settings["stride"] == 2
    assert repr(net) == (
        "serial(\n  (a): conv2d(6, kernel_size=3, stride=2)\n"
        "  (b): serial(\n    (c): tanh\n  )\n)"
    )


def test_an_image_without_a_batch_axis():
    """The message names the layer, both shapes, and the way out."""
    net = small_net()
    params = net.init(fresh(), IMAGES)

    refused(
        lambda: net.apply(params, IMAGES[0]),
        "layer 'conv1' = conv2d(3, kernel_size=3)",
        "(batch, height, width, channels)",
        "float32[8,8,1]",
        "x[None]",
    )


def test_wrong_channels():
    """A net for one channel refuses three, by the param that does not fit."""
    net = small_net()
    params = net.init(fresh(), IMAGES)

    refused(
        lambda: net.apply(params, jnp.zeros((2, 8, 8, 3), "float32")),
        "conv1/weight: expected (3, 3, 3, 3), got (3, 3, 1, 3)",
        "float32[2,8,8,3]",
    )
    with pytest.raises(nn.LayerError, match=r"expected 1 channels.*moveaxis"):
        nn.functional.conv2d(jnp.zeros((2, 3, 8, 8)), params["conv1"]["weight"])


def test_a_wrong_image_size():
    """A trained net says which layer does not fit, and how the shape came about."""
    net = small_net()
    params = net.init(fresh(), IMAGES)

    error = refused(
        lambda: net.apply(params, jnp.zeros((2, 9, 9, 1), "float32")),
        "block/fc1/weight: expected (147, 4), got (108, 4)",
        "input float32[2,9,9,1] -> conv1 float32[2,7,7,3]",
        "block/flatten float32[2,147] -> here",
        "inputs of the size",
    )
    assert error.path == "block/fc1"


@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool"])
def test_integer_images(dtype):
    """Numbers that are not floating are refused with the conversion to write."""
    for net in (small_net(), nn.linear(2), nn.batch_norm(), nn.max_pool2d(2)):
        refused(
            lambda net=net: net.init_with_state(
                fresh(), jnp.zeros((2, 8, 8, 1), dtype)
            ),
            "floating",
            "astype(jnp.float32)",
            dtype,
        )


def test_params_of_another_net():
    """Missing, extra and misshapen entries are all named by path."""
    net = small_net()
    params = net.init(fresh(), IMAGES)
    foreign = {
        "conv1": {"weight": params["conv1"]["weight"], "bais": jnp.zeros(3)},
        "block": {"fc1": {"weight": jnp.zeros((4, 108)), "bias": None}},
        "extra": {"weight": jnp.zeros(1)},
    }

    refused(
        lambda: net.apply(foreign, IMAGES),
        "conv1/bias: expected (3,), got nothing",
        "conv1/bais: expected nothing, got (3,)",
        "block/fc1/weight: expected (108, 4), got (4, 108)",
        "block/fc1/bias: expected (4,), got a NoneType",
        "extra/weight: expected nothing, got (1,)",
    )


def test_a_broadcastable_param_is_refused():
    """A shape that would broadcast silently is a misfit all the same."""
    net = nn.linear(4)
    params = {"weight": jnp.zeros((3, 4)), "bias": jnp.zeros(1)}

    refused(lambda: net.apply(params, jnp.ones((2, 3))), "bias", "(4,)", "(1,)")


def test_params_that_are_no_dict():
    """Swapped arguments, and the pair of the longer init, are recognized."""
    net = nn.linear(4)
    params = net.init(fresh(), jnp.ones((2, 3)))

    refused(lambda: net.apply(jnp.ones((2, 3)), params), "params must be a dict")
    refused(lambda: net.apply((params, {}), jnp.ones((2, 3))), "params must be a dict")
    refused(lambda: net.apply({0: params}, jnp.ones((2, 3))), "strings as keys", "0")


def test_state_of_another_net():
    """The state is checked like the params."""
    net = net_with_state()
    params, state = net.init_with_state(fresh(), IMAGES)
    del state["block"]["bn"]["var"]

    refused(lambda: net.apply(params, IMAGES, state=state), "the state", "block/bn/var")


def test_a_kernel_larger_than_the_image():
    """It is an error, where other libraries return an image of size zero."""
    refused(
        lambda: nn.conv2d(3, 5).init(fresh(), jnp.zeros((2, 4, 4, 1))),
        "5x5",
        "4x4",
        "padding",
    )
    refused(lambda: nn.max_pool2d(5).apply({}, jnp.zeros((2, 4, 4, 1))), "5x5", "4x4")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.linear(0), "features must be a positive int, got 0"),
        (lambda: nn.linear(2.5), "got 2.5"),
        (lambda: nn.linear(True), "got True"),
        (lambda: nn.conv2d(-1, 3), "features"),
        (lambda: nn.conv2d(1, 0), "kernel_size"),
        (lambda: nn.conv2d(1, (3, 3, 3)), "or 2 of them"),
        (lambda: nn.conv2d(1, 3, stride=0), "stride"),
        (lambda: nn.conv2d(1, 3, dilation=0), "dilation"),
        (lambda: nn.conv2d(1, 3, padding=-1), "padding"),
        (lambda: nn.conv2d(1, 3, padding="FULL"), "'SAME', 'VALID'"),
        (lambda: nn.conv2d(1, 3, groups=0), "groups"),
        (lambda: nn.conv2d(3, 3, groups=2), "groups=2 does not divide features=3"),
        (lambda: nn.max_pool2d(0), "kernel_size"),
        (lambda: nn.avg_pool2d(2, stride=0), "stride"),
        (lambda: nn.dropout(-0.1), "rate must be a number from 0 to 1, got -0.1"),
        (lambda: nn.dropout(1.5), "rate"),
        (lambda: nn.dropout(float("nan")), "rate"),
        (lambda: nn.batch_norm(momentum=2), "momentum"),
        (lambda: nn.batch_norm(eps=-1), "eps"),
        (lambda: nn.models.lenet(0), "features"),
        (lambda: nn.models.lenet5(pooling="min"), "max, avg"),
        (lambda: nn.models.mlp(hidden=(0,)), "features"),
    ],
)
def test_sizes_and_rates_that_make_no_sense(make, words):
    """Each constructor refuses them at once, naming the argument and the value."""
    refused(make, words)


@pytest.mark.parametrize(
    "key", [0, None, jax.random.split(fresh()), np.zeros(2, np.float32)]
)
def test_what_is_no_key_is_refused(key):
    """An int, several keys or other arrays: the message says how to make one."""
    refused(lambda: nn.linear(2).init(key, jnp.ones((2, 3))), "jax.random.key(0)")


def test_a_legacy_key_works():
    """jax.random.PRNGKey is accepted as well."""
    params = nn.linear(2).init(jax.random.PRNGKey(0), jnp.ones((2, 3)))

    assert params["weight"].shape == (3, 2)


def test_an_apply_that_asks_for_more_is_refused():
    """A misspelt keyword is found when the layer is made, not when it runs."""
    no = nn.no_params

    refused(lambda: nn.layer("a", no, lambda p, x, *, rgn: x), "asks for rgn", "key")
    refused(lambda: nn.layer("a", no, lambda p, x, **options: x), "**options")
    refused(lambda: nn.layer("a", no, dict), "wrap it in a def")
    refused(lambda: nn.layer("a", no, lambda p, x, key: x), "key by keyword", "*, key")
    refused(
        lambda: nn.layer("a", no, lambda p, x: x, settings={"f": jnp.ones(1)}), "plain"
    )


def test_inits_that_return_the_wrong_thing():
    """A stateful layer returns a pair, any layer dicts, and outputs are arrays."""

    def made(init, apply):
        net = nn.serial(a=nn.layer("odd", init, apply))
        return lambda: net.init_with_state(fresh(), IMAGES)

    stateful = lambda params, x, *, state: (x, state)  # noqa: E731
    refused(made(lambda key, x: {}, stateful), "'a'", "(params, state)")
    refused(made(lambda key, x: jnp.ones(1), lambda p, x: x), "'a'", "must be a dict")
    refused(made(nn.no_params, lambda p, x: "text"), "'a'", "arrays", "str")


def test_sizes_may_be_numpy_s_ints():
    """They work, and stand as plain numbers in the description."""
    layer = nn.conv2d(np.int64(4), np.int32(3), stride=(np.int64(1), 2))

    assert layer.init(fresh(), IMAGES)["weight"].shape == (3, 3, 1, 4)
    assert repr(layer) == "conv2d(4, kernel_size=3, stride=(1, 2))"


def test_init_sees_shapes_and_no_values():
    """An array and its spec give the same params."""
    spec = jax.ShapeDtypeStruct(IMAGES.shape, IMAGES.dtype)
    net = small_net()

    jax.tree.map(
        np.testing.assert_array_equal,
        net.init(fresh(), IMAGES),
        net.init(fresh(), spec),
    )


def test_params_and_state_may_be_numpy_arrays():
    """They train like JAX's, in float64 as well, and a tracer may index them."""
    layer = nn.batch_norm(affine=False)
    state = {"mean": np.zeros(1), "var": np.ones(1)}
    table = nn.layer("table", lambda key, x: {"t": jnp.ones(3)}, lambda p, x: p["t"][x])

    _, new_state = layer.apply_with_state({}, state, IMAGES, train=True)
    looked_up = jax.vmap(lambda i: table.apply({"t": np.arange(3.0)}, i))(jnp.arange(3))

    assert new_state["mean"].dtype == jnp.asarray(state["mean"]).dtype
    np.testing.assert_array_equal(looked_up, [0, 1, 2])


def test_float64_numpy_arrays_become_float32():
    """As everywhere in JAX, unless 64 bits are switched on."""
    with jax.enable_x64(False):
        params = nn.linear(2).init(fresh(), np.ones((2, 3)))

        assert nn.linear(2).apply(params, np.ones((2, 3))).dtype == jnp.float32
