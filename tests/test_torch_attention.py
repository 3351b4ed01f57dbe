"""Attention against PyTorch."""

import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import agree, draw, given, near, torch
from hypothesis import strategies as st
from test_torch_embeddings import their_rotary

import lenetjax as nn

F = torch.nn.functional
PARTS = ("query", "key", "value")
seeds = st.integers(0, 99)
few = st.integers(1, 3)


def draw_mask(seed, *shape):
    """Draws bools that let every query attend to the first key at least."""
    mask = np.random.default_rng(seed).random(shape) < 0.5
    mask[..., :1] = True
    return mask


def maps(seed, sizes, bias):
    """Draws a weight (in, out) for each pair of sizes, and perhaps all biases in one.

    The key's bias has no effect, and its gradient would be compared with no other.
    """
    weights = [
        draw(seed + i, rows, columns, scale=rows**-0.5)
        for i, (rows, columns) in enumerate(sizes)
    ]
    biases = draw(seed + 19, sum(columns for _, columns in sizes))
    return [*weights, biases] if bias else weights


def named(names, arrays, bias):
    """The params of several maps, from what `maps` draws."""
    params, start = {}, 0
    for name, weight in zip(names, arrays, strict=False):
        params[name] = {"weight": weight}
        if bias:
            end = start + weight.shape[1]
            params[name]["bias"] = arrays[len(names)][start:end]
            start = end
    return params


def their_attention(params, packed, bias, prefix=""):
    """Our attention's params under PyTorch's names."""
    weights = [params[name]["weight"].T for name in PARTS]
    theirs = {"out_proj.weight": params["output"]["weight"].T}
    if packed:
        theirs["in_proj_weight"] = torch.cat(weights)
    else:
        names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
        theirs |= dict(zip(names, weights, strict=True))
    if bias:
        theirs["in_proj_bias"] = torch.cat([params[name]["bias"] for name in PARTS])
        theirs["out_proj.bias"] = params["output"]["bias"]
    return {prefix + name: array for name, array in theirs.items()}


def their_mask(mask, heads, queries):
    """Our mask as PyTorch's modules want it: true where nothing may be attended to."""
    keys = mask.shape[-1]
    mask = torch.as_tensor(mask).expand(mask.shape[0], heads, queries, keys)
    return ~mask.reshape(-1, queries, keys)


def our_products(query, key, value, mask=None, causal=False):
    return nn.functional.scaled_dot_product_attention(
        query, key, value, mask=mask, causal=causal
    )


def their_products(query, key, value, mask=None, causal=False):
    """PyTorch's attention, in our layout; it takes a mask or causal, not both."""
    if mask is not None and causal:
        mask = mask & torch.ones(query.shape[1], key.shape[1]).tril().bool()
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        y = F.scaled_dot_product_attention(
            *(x.transpose(1, 2) for x in (query, key, value)),
            attn_mask=mask,
            is_causal=causal and mask is None,
            enable_gqa=True,
        )
    return y.transpose(1, 2)


@given(
    batch=few, queries=st.integers(0, 4), keys=st.integers(1, 4), kv_heads=few,
    groups=few, features=few, value_features=few, causal=st.booleans(), seed=seeds,
    masked=st.sampled_from([None, "all", "examples", "heads", "queries", "keys"]),
)  # fmt: skip
def test_scaled_dot_product_attention(
    batch, queries, keys, kv_heads, groups, features, value_features, causal, seed,
    masked,
):  # fmt: skip
    """Cross and self attention, grouped heads, and masks that broadcast."""
    heads = kv_heads * groups
    shapes = {
        None: None,
        "all": (batch, heads, queries, keys),
        "examples": (1, heads, queries, keys),
        "heads": (batch, 1, queries, keys),
        "queries": (batch, heads, 1, keys),
        "keys": (batch, 1, queries, 1),
    }
    mask = [] if masked is None else [draw_mask(seed, *shapes[masked])]

    agree(
        lambda *arrays: our_products(*arrays, causal=causal),
        lambda *arrays: their_products(*arrays, causal=causal),
        draw(seed, batch, queries, heads, features),
        draw(seed + 1, batch, keys, kv_heads, features),
        draw(seed + 2, batch, keys, kv_heads, value_features),
        *mask,
    )


EXTREMES = {
    "zeros": (0, 0.0),
    "a zero key": (1, 0.0),
    "a large query": (0, 1e30),
    "a large key": (1, -1e30),
    "large values": (2, 1e30),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("case", EXTREMES)
def test_extremes(case, masked):
    """Equal and enormous scores give what PyTorch gives, and finite gradients."""
    arrays = [draw(i, 2, 3, 1, 2) for i in range(3)]
    which, value = EXTREMES[case]
    arrays[which][0, slice(None) if case == "zeros" else 1] = np.float32(value)
    mask = [draw_mask(0, 2, 1, 3, 3)] if masked else []

    agree(our_products, their_products, *arrays, *mask)


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(which, value):
    """NaN and infinities show wherever they show in PyTorch, and nowhere else."""
    arrays = [draw(i, 2, 3, 2, 2) for i in range(3)]
    arrays[1][1, :, 0, 1] = 1, -1, 1  # scores of minus infinity alone are another case
    arrays[which][1, 2, 0, 1] = value

    agree(our_products, their_products, *arrays, gradients=False)


def test_scores_that_overflow():
    """Where float32 cannot hold the scores, PyTorch's float32 says NaN too."""
    arrays = [draw(i, 1, 3, 1, 2).astype("float32") for i in range(3)]
    arrays[0] *= np.float32(1e30)
    arrays[1] *= np.float32(1e30)

    got = our_products(*map(jnp.asarray, arrays))
    want = their_products(*map(torch.tensor, arrays))

    near(got, want.numpy(), "float32", "output")


attention_options = {
    "heads": few, "head_features": few, "causal": st.booleans(), "bias": st.booleans(),
    "masked": st.sampled_from([None, "all", "heads", "keys"]), "batch": few,
    "queries": st.integers(1, 4), "seed": seeds,
}  # fmt: skip


class Attention:
    """Attention of ours and of PyTorch's, as functions of the same flat arrays."""

    def __init__(
        self, heads, head_features, causal, bias, masked, batch, queries, seed,
        names=("query",), keys=None, others=None,
    ):  # fmt: skip
        total = heads * head_features
        self.keys = queries if keys is None else keys
        key_size, value_size = others or (total, total)
        self.ours = nn.multi_head_attention(heads, causal=causal, bias=bias)
        self.theirs = torch.nn.MultiheadAttention(
            total, heads, bias=bias, kdim=key_size, vdim=value_size, batch_first=True,
            dtype=torch.float64,
        ).eval()  # fmt: skip
        self.heads, self.causal, self.bias, self.names = heads, causal, bias, names
        self.packed = key_size == value_size == total
        sizes = {
            "query": (batch, queries, total),
            "key": (batch, self.keys, key_size),
            "value": (batch, self.keys, value_size),
        }
        self.arrays = [draw(seed + i, *sizes[name]) for i, name in enumerate(names)]
        self.mask = None
        if masked:
            shape = (batch, heads if masked == "all" else 1, queries, self.keys)
            shape = (batch, 1, 1, self.keys) if masked == "keys" else shape
            self.mask = draw_mask(seed, *shape)
        into = [(size, total) for size in (total, key_size, value_size, total)]
        self.arrays += maps(seed + 9, into, bias)

    def params(self, arrays):
        names = (*PARTS, "output")
        return named(names, arrays[len(self.names) :], self.bias)

    def our_run(self, *arrays):
        x = dict(zip(self.names, arrays, strict=False))
        if self.mask is not None:
            x["mask"] = self.mask
        return self.ours.apply(self.params(arrays), arrays[0] if len(x) == 1 else x)

    def their_run(self, *arrays):
        given = dict(zip(self.names, arrays, strict=False))
        query = given["query"]
        key = given.get("key", query)
        queries, keys = query.shape[1], key.shape[1]
        blind = torch.zeros(query.shape[0] * self.heads, queries, keys).bool()
        if self.mask is not None:
            blind |= their_mask(self.mask, self.heads, queries)
        if self.causal:
            blind |= torch.ones(queries, keys).triu(1).bool()
        params = their_attention(self.params(arrays), self.packed, self.bias)
        y, _ = torch.func.functional_call(
            self.theirs,
            params,
            (query, key, given.get("value", key)),
            {"attn_mask": blind, "need_weights": False},
        )
        return y


@given(options=st.fixed_dictionaries(attention_options))
def test_self_attention(options):
    """A sequence that attends to itself, causally or not, masked or not."""
    pair = Attention(**options)

    agree(pair.our_run, pair.their_run, *pair.arrays)


@given(
    options=st.fixed_dictionaries(attention_options), keys=st.integers(1, 4),
    others=st.tuples(few, few), value=st.booleans(),
)  # fmt: skip
def test_cross_attention(options, keys, others, value):
    """Keys and values of other lengths and sizes; values are the keys by default."""
    names = PARTS if value else PARTS[:2]
    sizes = others if value else (others[0], others[0])
    pair = Attention(**options, names=names, keys=keys, others=sizes)

    agree(pair.our_run, pair.their_run, *pair.arrays)


@given(
    heads=st.sampled_from([(1, 1), (2, 1), (4, 2), (3, 3)]), half=few, size=few,
    causal=st.booleans(), rotary=st.booleans(), seed=seeds,
)  # fmt: skip
def test_grouped_and_rotary_attention(heads, half, size, causal, rotary, seed):
    """Fewer heads of keys than of queries, turned by position."""
    heads, kv_heads = heads
    total, key_total = heads * 2 * half, kv_heads * 2 * half
    layer = nn.multi_head_attention(
        heads, features=total, kv_heads=kv_heads, causal=causal, rotary=rotary
    )
    names = (*PARTS, "output")

    def theirs(x, *arrays):
        params = named(names, arrays, bias=True)
        query, key, value = (
            F.linear(x, params[name]["weight"].T, params[name]["bias"]).unflatten(
                -1, (-1, 2 * half)
            )
            for name in PARTS
        )
        if rotary:
            query, key = their_rotary(query), their_rotary(key)
        y = their_products(query, key, value, causal=causal).flatten(2)
        return F.linear(y, params["output"]["weight"].T, params["output"]["bias"])

    sizes = [(size, total), (size, key_total), (size, key_total), (total, total)]
    agree(
        lambda x, *arrays: layer.apply(named(names, arrays, bias=True), x),
        theirs,
        draw(seed, 2, 3, size),
        *maps(seed + 1, sizes, bias=True),
    )


def alike(ours, theirs):
    """Asserts that two large draws have the same range and spread."""
    ours, theirs = np.asarray(ours), theirs.detach().numpy()
    np.testing.assert_allclose(ours.std(), theirs.std(), rtol=0.05, atol=0)
    np.testing.assert_allclose(
        np.abs(ours).max(), np.abs(theirs).max(), rtol=0.05, atol=0
    )


@pytest.mark.parametrize("kdim", [48, 30])
def test_initial_values_of_attention(kdim, key):
    """Drawn as PyTorch draws them, as one matrix where the sizes are equal."""
    torch.manual_seed(0)
    theirs = torch.nn.MultiheadAttention(48, 4, kdim=kdim, vdim=kdim)
    x = {"query": jnp.ones((1, 2, 48)), "key": jnp.ones((1, 2, kdim))}

    ours = nn.multi_head_attention(4).init(key, x)

    if kdim == 48:
        weights = theirs.in_proj_weight.chunk(3)
    else:
        weights = theirs.q_proj_weight, theirs.k_proj_weight, theirs.v_proj_weight
    for name, weight in zip(PARTS, weights, strict=True):
        alike(ours[name]["weight"], weight)
        assert not ours[name]["bias"].any()
    alike(ours["output"]["weight"], theirs.out_proj.weight)
    assert not ours["output"]["bias"].any()
    assert not theirs.in_proj_bias.any()
    assert not theirs.out_proj.bias.any()
