"""`lenetjax.interop.stax` beside `jax.example_libraries.stax`: equal in every bit."""

import math
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.example_libraries import stax as original

import lenetjax as nn
from lenetjax.interop import stax

IMAGES, ROWS, TABLE = (2, 5, 6, 3), (2, 7, 3), (4, 6)
NAMES = [
    *("Tanh", "Relu", "Exp", "LogSoftmax", "Softmax", "Softplus", "Sigmoid", "Elu"),
    *("LeakyRelu", "Selu", "Gelu", "Identity", "Flatten"),
]


def net_of_everything(stax):
    """Old code as people wrote it: nested, with shared inputs, pooling and norm."""
    shortcut = stax.serial(stax.FanOut(2), stax.parallel(stax.Identity, stax.Dense(4)))
    return stax.serial(
        stax.Conv(4, (3, 3), padding="SAME"),
        stax.BatchNorm(),
        stax.Relu,
        stax.FanOut(2),
        stax.parallel(stax.Conv(4, (1, 1)), stax.Identity),
        stax.FanInSum,
        stax.AvgPool((2, 2), strides=(2, 2)),
        stax.Flatten,
        stax.Dropout(0.5),
        shortcut,
        stax.FanInConcat(),
        stax.Dense(3),
        stax.LogSoftmax,
    )


def pooled(name, shape, *window, **options):
    return (
        f"{name} {window} {options}",
        lambda stax: getattr(stax, name)(*window, **options),
        shape,
    )


CASES = [
    *((name, lambda stax, name=name: getattr(stax, name), TABLE) for name in NAMES),
    ("Softmax of images", lambda stax: stax.Softmax, IMAGES),
    ("Flatten of images", lambda stax: stax.Flatten, IMAGES),
    ("Dense", lambda stax: stax.Dense(4), TABLE),
    ("Dense of three axes", lambda stax: stax.Dense(4), ROWS),
    ("Dense, own init", lambda stax: stax.Dense(4, stax.glorot(), stax.zeros), TABLE),
    ("Dense, randn", lambda stax: stax.Dense(4, stax.randn(), stax.ones), TABLE),
    ("Conv", lambda stax: stax.Conv(4, (2, 3)), IMAGES),
    ("Conv, same", lambda stax: stax.Conv(4, (3, 3), (2, 1), "SAME"), IMAGES),
    ("Conv, padded", lambda stax: stax.Conv(4, (2, 2), None, [(0, 1), (2, 0)]), IMAGES),
    ("Conv, inits", lambda stax: stax.Conv(4, (1, 1), W_init=stax.normal()), IMAGES),
    (
        "GeneralConv, channels first",
        lambda stax: stax.GeneralConv(("NCHW", "OIHW", "NHWC"), 4, (2, 2), (2, 2)),
        IMAGES,
    ),
    (
        "GeneralConv, one axis",
        lambda stax: stax.GeneralConv(("NWC", "WIO", "NWC"), 4, (3,)),
        ROWS,
    ),
    ("ConvTranspose", lambda stax: stax.ConvTranspose(4, (2, 3)), IMAGES),
    (
        "ConvTranspose, same",
        lambda stax: stax.ConvTranspose(4, (3, 3), (2, 2), "SAME"),
        IMAGES,
    ),
    ("Conv1DTranspose", lambda stax: stax.Conv1DTranspose(4, (3,), (2,)), ROWS),
    (
        "GeneralConvTranspose",
        lambda stax: stax.GeneralConvTranspose(("NCW", "OIW", "NWC"), 2, (2,), (3,)),
        ROWS,
    ),
    ("BatchNorm", lambda stax: stax.BatchNorm(), IMAGES),
    ("BatchNorm, one axis", lambda stax: stax.BatchNorm(0, 1e-3), TABLE),
    ("BatchNorm, channels first", lambda stax: stax.BatchNorm((0, 2, 3)), IMAGES),
    ("BatchNorm, no beta", lambda stax: stax.BatchNorm(center=False), IMAGES),
    ("BatchNorm, no gamma", lambda stax: stax.BatchNorm(scale=False), IMAGES),
    (
        "BatchNorm, neither",
        lambda stax: stax.BatchNorm(center=False, scale=False),
        IMAGES,
    ),
    (
        "BatchNorm, own init",
        lambda stax: stax.BatchNorm(beta_init=stax.normal(), gamma_init=stax.normal()),
        IMAGES,
    ),
    *(
        case
        for name in ("MaxPool", "SumPool", "AvgPool")
        for case in (
            pooled(name, IMAGES, (2, 2)),
            pooled(name, IMAGES, (2, 3), (2, 1), "SAME"),
            pooled(name, IMAGES, (3, 2), strides=(1, 2), spec="NCHW"),
            pooled(name, IMAGES, (2, 2), padding="SAME", spec="WHNC"),
            pooled(name, IMAGES, (1, 2), padding="VALID", spec="WHCN"),
            pooled(name, ROWS, (3,), (2,)),
        )
    ),
    ("FanOut", lambda stax: stax.FanOut(3), TABLE),
    ("FanInSum", lambda stax: stax.FanInSum, [TABLE, TABLE, TABLE]),
    ("FanInConcat", lambda stax: stax.FanInConcat(), [(4, 6), (4, 1)]),
    ("FanInConcat, axis", lambda stax: stax.FanInConcat(1), [(2, 3, 4), (2, 1, 4)]),
    ("Dropout", lambda stax: stax.Dropout(0.7), TABLE),
    ("Dropout, evaluation", lambda stax: stax.Dropout(0.7, mode="test"), TABLE),
    ("elementwise", lambda stax: stax.elementwise(jnp.clip, min=0.0), TABLE),
    ("serial", lambda stax: stax.serial(stax.Dense(4), stax.Relu), TABLE),
    (
        "serial, nested",
        lambda stax: stax.serial(
            stax.serial(stax.Dense(4), stax.Dropout(0.5)), stax.Dropout(0.5)
        ),
        TABLE,
    ),
    (
        "parallel",
        lambda stax: stax.parallel(stax.Dense(4), stax.Dropout(0.5), stax.Dense(2)),
        [TABLE, TABLE, ROWS],
    ),
    (
        "shape_dependent",
        lambda stax: stax.shape_dependent(lambda shape: stax.Dense(shape[-1] * 2)),
        TABLE,
    ),
    ("everything", net_of_everything, IMAGES),
]  # fmt: skip

every_case = pytest.mark.parametrize(
    ("make", "shape"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)


@pytest.fixture(autouse=True)
def as_the_original_needs():
    """The original adds biases to arrays of more axes."""
    with jax.numpy_rank_promotion("allow"):
        yield


def arrays(shape, seed=0):
    """Random numbers of a shape, or a list of them."""
    if isinstance(shape, list):
        return [arrays(entry, seed + i) for i, entry in enumerate(shape)]
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def same(one, other):
    """Whether two trees are alike in structure, dtypes and every bit."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(a, b)


def results_of_both(make, shape, new_key):
    """Output shape, params and outputs, of ours and of the original."""
    for library in (stax, original):
        init_fun, apply_fun = make(library)
        output_shape, params = init_fun(new_key(3), shape)
        yield output_shape, params, apply_fun(params, arrays(shape), rng=new_key(4))


@every_case
def test_params_and_outputs_are_the_originals(make, shape):
    """For equal keys: output shapes, params, outputs; and the announced shape holds."""
    results = list(results_of_both(make, shape, jax.random.key))

    same(*results)
    shapes = [tuple(a.shape) for a in jax.tree.leaves(results[0][2])]
    announced = results[0][0]
    several = isinstance(announced, list) or isinstance(announced[0], tuple)
    assert shapes == (list(announced) if several else [announced])


@every_case
def test_gradients_and_types_are_the_originals(make, shape):
    """Under jit, with respect to params and inputs; and pairs are plain tuples."""
    grads = []
    for library in (stax, original):
        pair = make(library)
        init_fun, apply_fun = pair
        output_shape, params = init_fun(jax.random.key(3), shape)

        def loss(params, x, apply_fun=apply_fun):
            y = apply_fun(params, x, rng=jax.random.key(4))
            return sum((leaf**2).sum() for leaf in jax.tree.leaves(y))

        grads.append(jax.jit(jax.grad(loss, argnums=(0, 1)))(params, arrays(shape)))
        assert type(pair) is tuple
        assert type(output_shape) in (tuple, list)
    same(*grads)


@pytest.mark.parametrize(
    ("make", "shape"), [case[1:] for case in CASES if "'WH" not in case[0]]
)
def test_the_batch_may_be_unknown(make, shape):
    """Old code gives -1 for the batch: what the original makes of that, ours makes."""
    if isinstance(shape, list):
        unknown = [(-1, *each[1:]) for each in shape]
    else:
        unknown = (-1, *shape[1:])
    made = []
    for library in (original, stax):
        try:
            output_shape, params = make(library)[0](jax.random.key(3), unknown)
        except Exception:
            assert library is original  # ours works wherever the original does
            pytest.skip("the original refuses a batch of -1 too")
        made.append((output_shape, params))

    same(*made)


def test_keys_of_the_old_kind():
    """An array of two numbers serves as a key, as old code has them."""
    same(*results_of_both(net_of_everything, IMAGES, jax.random.PRNGKey))


def test_names():
    """Every public name of the original is there, and no case was forgotten."""
    names = {
        name
        for name, thing in vars(original).items()
        if name[0] != "_" and not isinstance(thing, ModuleType)
    }

    assert all(hasattr(stax, name) for name in names)
    assert {name for name in names if name[0].isupper()} <= {
        case[0].split()[0].strip(",") for case in CASES
    }
    assert stax.randn is original.randn
    assert stax.glorot is original.glorot


def test_params_of_the_original_fit():
    """What was trained with the original goes into ours, and back."""
    _, params = net_of_everything(original)[0](jax.random.key(0), IMAGES)
    x, rng = arrays(IMAGES), jax.random.key(1)

    ours = net_of_everything(stax)[1](params, x, rng=rng)

    same(ours, net_of_everything(original)[1](params, x, rng=rng))


def test_no_promotion_of_ranks():
    """It works where JAX forbids to add arrays of different rank."""
    init_fun, apply_fun = net_of_everything(stax)
    with jax.numpy_rank_promotion("raise"):
        _, params = init_fun(jax.random.key(0), IMAGES)
        y = apply_fun(params, arrays(IMAGES), rng=jax.random.key(1))

    assert y.shape == (2, 3)


def test_evaluation_needs_no_key():
    """Dropout asks for a key in training alone."""
    _, apply_fun = stax.serial(stax.Dropout(0.5, mode="predict"))

    np.testing.assert_array_equal(apply_fun([()], jnp.ones((2, 3))), np.ones((2, 3)))


def test_dropout_keeps_by_its_rate():
    """The rate is the probability of keeping, and the mean stays."""
    y = stax.Dropout(0.9)[1]((), jnp.ones(100_000), rng=jax.random.key(0))

    assert abs(float((y > 0).mean()) - 0.9) < 5 * math.sqrt(0.09 / 100_000)
    assert abs(float(y.mean()) - 1) < 0.01


def test_batch_norm_normalizes():
    """The mean is 0 and the variance 1 over the axes named."""
    init_fun, apply_fun = stax.BatchNorm(axis=(0, 2), center=False, scale=False)
    y = apply_fun(init_fun(jax.random.key(0), ROWS)[1], 3 * arrays(ROWS) + 5)

    np.testing.assert_allclose(np.mean(y, (0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(y, (0, 2)), 1, atol=1e-3)


def init(pair, shape):
    return pair[0](jax.random.key(0), shape)


def apply(pair, made_for, shape, **kwargs):
    return pair[1](init(pair, made_for)[1], arrays(shape), **kwargs)


two = stax.serial(stax.Dense(4), stax.Relu)
both = stax.parallel(stax.Dense(4), stax.Dense(2))
MISTAKES = [
    (lambda: apply(stax.Dense(4), (2, 3), (2, 5)), r"\(\.\.\., 3\).*got \(2, 5\)"),
    (lambda: apply(stax.Conv(4, (2, 2)), IMAGES, (2, 5, 6, 1)), "3 channels.*got 1"),
    (lambda: apply(stax.Conv(4, (2, 2)), IMAGES, (5, 6, 3)), "4 axes, NHWC, got"),
    (lambda: init(stax.Conv(4, (2, 2)), (5, 6, 3)), "4 axes, NHWC, got"),
    (lambda: init(stax.Conv(4, (7, 7)), IMAGES), "too small for one window"),
    (lambda: stax.Conv(4, (2,)), "a size and a stride for each of the 2"),
    (lambda: stax.MaxPool((2, 2), strides=(2,)), "a stride for each of the 2"),
    (lambda: stax.AvgPool((2, 2), spec="NHW"), "a spec with N, C and 2"),
    (lambda: stax.SumPool((2, 2), padding=1), "SAME or VALID, got 1"),
    (lambda: init(stax.MaxPool((6, 7)), IMAGES), "too small for one window"),
    (lambda: init(stax.MaxPool((2, 2)), (5, 6, 3)), "4 axes, NHWC, got"),
    (lambda: stax.BatchNorm(axis=-1), "from 0 on, got axis=-1"),
    (lambda: stax.Dropout(1.5), "from 0 to 1, got 1.5"),
    (lambda: stax.Dropout(0.5, False), "a word such as 'train', got False"),
    (lambda: apply(stax.Dropout(0.5), TABLE, TABLE), "got no random key"),
    (lambda: init(stax.FanInConcat(), [(2, 3), (4, 3)]), "alike but for axis 1"),
    (lambda: stax.FanInSum[1]((), arrays([(1, 3), (2, 3)])), "shape of its first"),
    (lambda: stax.serial(stax.Dense), "entry 0 is no pair.*Dense\\(10\\)"),
    (lambda: stax.parallel(stax.Relu, nn.linear(3)), "entry 1 is no pair"),
    (lambda: two[1](init(two, TABLE)[1][:1], arrays(TABLE)), "params for 2 .* got 1"),
    (lambda: init(both, [TABLE]), "input shapes for 2 layers, got 1"),
    (lambda: both[1](init(both, [TABLE] * 2)[1], arrays([TABLE])), "inputs for 2"),
]  # fmt: skip


@pytest.mark.parametrize(("mistake", "message"), MISTAKES)
def test_mistakes_are_named(mistake, message):
    """Each is refused, in words that name shapes."""
    with pytest.raises(nn.LayerError, match=f"(?s){message}"):
        mistake()


def test_an_error_says_where():
    """The notes lead through nested layers, for errors of any type."""

    def broken(params, inputs, **kwargs):
        raise KeyError("mine")

    inner = stax.parallel(stax.Identity, (stax.Identity[0], broken))
    pair = stax.serial(stax.Relu, stax.FanOut(2), inner)

    with pytest.raises(KeyError) as error:
        apply(pair, TABLE, TABLE)

    assert error.value.__notes__ == [
        "in layer 1 of the 2 of parallel, on (4, 6)",
        "in layer 2 of the 3 of serial, on [(4, 6), (4, 6)]",
    ]
