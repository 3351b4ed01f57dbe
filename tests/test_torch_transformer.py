"""The transformer's block against PyTorch."""

import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import agree, draw, given, torch
from hypothesis import strategies as st
from test_torch_attention import (
    PARTS,
    alike,
    draw_mask,
    few,
    maps,
    named,
    seeds,
    their_attention,
    their_mask,
)

import lenetjax as nn

BLOCK = (*PARTS, "output", "linear1", "linear2")
NORMS = ("norm1", "norm2")


def our_block(arrays):
    params = named(BLOCK, arrays[:7], bias=True)
    attention = {name: params.pop(name) for name in BLOCK[:4]}
    norms = zip(arrays[7:9], arrays[9:], strict=True)
    for name, (weight, bias) in zip(NORMS, norms, strict=True):
        params[name] = {"weight": weight, "bias": bias}
    return {"attention": attention, **params}


def their_block(arrays):
    params = our_block(arrays)
    theirs = their_attention(params["attention"], True, True, "self_attn.")
    for name in (*BLOCK[4:], *NORMS):
        weight = params[name]["weight"]
        theirs[f"{name}.weight"] = weight.T if weight.ndim == 2 else weight
        theirs[f"{name}.bias"] = params[name]["bias"]
    return theirs


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@given(
    norm_first=st.booleans(), activation=st.sampled_from(["relu", "gelu"]),
    batch=few, length=few, heads=few, head_features=st.integers(3, 4),
    hidden=st.integers(1, 5),
    causal=st.booleans(), masked=st.booleans(), eps=st.sampled_from([1e-5, 0.1]),
    seed=seeds,
)  # fmt: skip
def test_transformer_encoder_block(
    norm_first, activation, batch, length, heads, head_features, hidden, causal,
    masked, eps, seed,
):  # fmt: skip
    """Both orders of normalization and both activations, without dropout."""
    features = heads * head_features
    layer = nn.transformer_encoder_block(
        heads, hidden=hidden, activation=activation, norm_first=norm_first, eps=eps,
        causal=causal,
    )  # fmt: skip
    module = torch.nn.TransformerEncoderLayer(
        features, heads, hidden, activation=activation, norm_first=norm_first,
        layer_norm_eps=eps, batch_first=True, dtype=torch.float64,
    ).eval()  # fmt: skip
    mask = draw_mask(seed, batch, 1, 1, length)

    def ours(x, *arrays):
        given = {"x": x, "mask": mask} if masked else x
        y = layer.apply(our_block(arrays), given)
        return y["x"] if masked else y

    def theirs(x, *arrays):
        blind = torch.zeros(batch * heads, length, length).bool()
        if masked:
            blind |= their_mask(mask, heads, length)
        if causal:
            blind |= torch.ones(length, length).triu(1).bool()
        return torch.func.functional_call(
            module, their_block(arrays), (x,), {"src_mask": blind}
        )

    square, up, down = (features, features), (features, hidden), (hidden, features)
    agree(
        ours,
        theirs,
        draw(seed, batch, length, features),
        *maps(seed + 1, [square] * 4 + [up, down], bias=True),
        *(draw(seed + 50 + i, features) for i in range(4)),
    )


def test_initial_values_of_the_block(key):
    """Its linear maps start as PyTorch's do, and its normalizations as nothing."""
    torch.manual_seed(0)
    theirs = torch.nn.TransformerEncoderLayer(40, 4, 60)

    ours = nn.transformer_encoder_block(4, hidden=60).init(key, jnp.ones((1, 2, 40)))

    alike(ours["attention"]["key"]["weight"], theirs.self_attn.in_proj_weight)
    for name in ("linear1", "linear2"):
        alike(ours[name]["weight"], getattr(theirs, name).weight)
        bound = 1 / np.sqrt(ours[name]["weight"].shape[0])
        assert 0.8 * bound < np.abs(ours[name]["bias"]).max() <= bound
    for name in ("norm1", "norm2"):
        assert (ours[name]["weight"] == 1).all()
        assert (ours[name]["bias"] == 0).all()
