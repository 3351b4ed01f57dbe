"""What convolutions, pooling and shaping refuse, and how they say so."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lenetjax as nn

F = nn.functional
IMAGES = jnp.ones((2, 5, 6, 4))
LINE = jnp.ones((2, 5, 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.conv1d(2, (3, 3)), r"kernel_size must be a positive int, got \(3"),
        (lambda: nn.conv3d(2, (3, 3)), "kernel_size must be a positive int, or 3 of"),
        (
            lambda: nn.conv2d(2, 3, padding_mode="mirror"),
            "padding_mode must be one of zeros, reflect, replicate, circular, got 'mi",
        ),
        (lambda: nn.conv_transpose2d(3, 2, groups=2), "groups=2 does not divide feat"),
        (
            lambda: nn.conv_transpose2d(3, 2, stride=2, output_padding=2),
            "output_padding must be less than the stride or the dilation, got output_p",
        ),
        (lambda: nn.conv_transpose1d(3, 2, output_padding=-1), "int of at least 0"),
        (lambda: nn.max_pool1d(0), "kernel_size must be a positive int, got 0"),
        (lambda: nn.max_pool3d(2, dilation=0), "dilation must be a positive int"),
        (lambda: nn.lp_pool2d(0, 2), "norm_type must be above 0 and finite, got 0"),
        (lambda: nn.lp_pool2d(float("inf"), 2), "above 0 and finite, got inf"),
        (lambda: nn.lp_pool1d("2", 2), "norm_type must be a number above 0, got '2'"),
        (
            lambda: nn.adaptive_avg_pool2d((2, 0)),
            r"output_size must be a positive int or None, or 2 of them, got \(2, 0\)",
        ),
        (lambda: nn.adaptive_max_pool1d((2, 2)), "output_size must be a positive int"),
        (lambda: nn.unflatten(1, (-1, -1)), "sizes must be sizes, of which one may be"),
        (lambda: nn.reshape("34"), "shape must be sizes"),
        (lambda: nn.transpose((0, 2)), "axes must be the numbers from 0 on, each once"),
        (lambda: nn.transpose(2), "axes must be the numbers from 0 on"),
        (lambda: nn.pad("SAME"), "padding must be given in numbers, got 'SAME'"),
        (lambda: nn.pad(-1), "padding must be 'SAME', 'VALID', an int of at least 0"),
        (lambda: nn.pad(1, mode="zeros"), "mode must be one of constant, reflect"),
        (lambda: nn.pixel_shuffle(0), "upscale_factor must be a positive int"),
        (lambda: nn.pixel_unshuffle(1.5), "downscale_factor must be a positive int"),
        (lambda: nn.channel_shuffle(0), "groups must be a positive int"),
        (lambda: nn.upsample(), "give either size or scale_factor, got size=None"),
        (lambda: nn.upsample(2, scale_factor=2), "give either size or scale_factor"),
        (lambda: nn.upsample(scale_factor=0), "scale_factor must be a positive number"),
        (lambda: nn.upsample(2, mode="bilinear"), "mode must be one of nearest, near"),
        (lambda: nn.upsample(2, align_corners=True), "align_corners has no meaning"),
        (lambda: nn.prelu(0), "num_parameters must be a positive int"),
        (lambda: nn.bilinear(0), "features must be a positive int"),
    ],
)
def test_bad_settings_are_refused_at_once(make, message):
    """Before any input is seen."""
    with pytest.raises(nn.LayerError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "x", "message"),
    [
        (nn.conv1d(2, 3), IMAGES, r"expected 3 axes, \(batch, width, channels\), got"),
        (nn.conv3d(2, 3), IMAGES, r"\(batch, depth, .*a single example a batch axis"),
        (nn.conv2d(3, 2, groups=3), IMAGES, "groups=3 does not divide 4 channels"),
        (
            nn.conv2d(2, 3, padding=5, padding_mode="reflect"),
            IMAGES,
            r"cannot pad 5 values by \(5, 5\) in mode 'reflect': the image is too",
        ),
        (nn.conv_transpose2d(3, 2, groups=3), IMAGES, "groups=3 does not divide 4"),
        (
            nn.conv_transpose1d(3, 2, padding=4),
            LINE,
            r"nothing is left of the output: its sizes would be \(-2,\)",
        ),
        (nn.max_pool1d(6), LINE, "the window 6 is larger than the image 5"),
        (nn.max_pool2d(3, dilation=3), IMAGES, "the window 7x7 is larger than the im"),
        (nn.avg_pool2d(2, padding=2), IMAGES, "padding may be at most half the window"),
        (
            nn.adaptive_avg_pool2d(2),
            jnp.ones((2, 0, 3, 1)),
            "images that are not empty",
        ),
        (
            nn.global_max_pool(),
            jnp.ones((2, 3)),
            r"expected \(batch, ...spatial..., ch",
        ),
        (nn.global_avg_pool(), jnp.ones((2, 3, 4), int), "expected floating-point num"),
        (
            nn.unflatten(1, (2, 2)),
            LINE,
            r"cannot split axis 1 of float..\[2,5,4\] into",
        ),
        (nn.unflatten(3, (2, 2)), LINE, "there is no axis 3 in float"),
        (
            nn.reshape((3, -1)),
            LINE,
            r"each example of float..\[2,5,4\] the shape \(3, ",
        ),
        (nn.transpose((1, 0)), LINE, r"expected 2 axes, got float..\[2,5,4\]"),
        (nn.pad((1, 1)), LINE, "padding must be 'SAME', .* for each of the 1 axes"),
        (nn.pad(1), jnp.ones((2, 3)), r"expected \(batch, ...spatial..., channels\)"),
        (
            nn.pad(6, mode="circular"),
            LINE,
            "in mode 'circular': the image is too",
        ),
        (nn.pixel_shuffle(3), IMAGES, "3 \\* 3 does not divide the channels of float"),
        (nn.pixel_shuffle(2), LINE, r"expected images \(batch, height, width, chan"),
        (nn.pixel_unshuffle(2), IMAGES, "2 does not divide height and width of float"),
        (nn.channel_shuffle(3), IMAGES, "with channels that 3 divides"),
        (nn.upsample((2, 2)), LINE, "size must be a positive int, got"),
        (nn.upsample(scale_factor=0.1), LINE, "scale_factor=0.1 leaves nothing of"),
        (nn.upsample(2), jnp.ones((2, 3)), r"\(batch, ...spatial..., channels\) that"),
        (nn.prelu(3), LINE, "expected 3 channels on the last axis, got float"),
        (nn.bilinear(3), LINE, r"expected a pair \(x1, x2\), got float"),
        (
            nn.bilinear(3),
            (jnp.ones((2, 3)), jnp.ones((4, 3))),
            r"expected x1 \(..., in1\), x2 \(..., in2\) and a weight",
        ),
    ],
)
def test_bad_input_is_refused_by_name(layer, x, message):
    """With the layer's path, at init."""
    with pytest.raises(nn.LayerError, match=message) as caught:
        nn.serial(here=layer).init(jax.random.key(0), x)
    assert caught.value.path == "here"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: F.conv_transpose2d(IMAGES, jnp.ones((3, 3, 5, 2))),
            "expected 5 channels on the last axis",
        ),
        (
            lambda: F.conv_transpose2d(IMAGES, jnp.ones((3, 4, 2))),
            "expected a weight of 2 kernel axes, in that 1 divides, and out / 1, got",
        ),
        (
            lambda: F.conv_transpose1d(
                LINE, jnp.ones((3, 4, 2)), jnp.ones(4), groups=4
            ),
            r"expected a bias \(8,\), got float..\[4\]",
        ),
        (lambda: F.prelu(LINE, jnp.ones(2)), r"expected a weight \(1,\) or \(channels"),
        (
            lambda: F.bilinear(LINE, LINE, jnp.ones((4, 4, 2)), jnp.ones(3)),
            r"expected a bias \(2,\), got float..\[3\]",
        ),
    ],
)
def test_array_functions_refuse_what_layers_cannot_meet(call, message):
    """Weights of the wrong shape."""
    with pytest.raises(nn.LayerError, match=message):
        call()


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_transposed_convolution_is_the_gradient_of_a_convolution(rank):
    """As the docstring says: of the convolution with the same weight, in x."""
    conv, transposed = (
        getattr(F, f"{name}{rank}d") for name in ("conv", "conv_transpose")
    )
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, *[7] * rank, 3)), "float32")
    weight = jnp.asarray(rng.normal(size=(*[3] * rank, 3, 4)), "float32")
    y, pullback = jax.vjp(lambda x: conv(x, weight, stride=2, padding=1), x)

    got = transposed(y, jnp.swapaxes(weight, -1, -2), stride=2, padding=1)

    np.testing.assert_allclose(got, pullback(y)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_a_padding_mode_pads_before_the_convolution(mode):
    """The same as a layer of its own."""
    x = jax.random.normal(jax.random.key(0), (2, 5, 6, 3))
    both = nn.conv2d(2, 3, padding=(2, 1), stride=2, padding_mode=mode)
    conv = nn.conv2d(2, 3, stride=2)
    params = both.init(jax.random.key(0), x)

    apart = conv.apply(params, nn.pad((2, 1), mode=mode).apply({}, x))

    np.testing.assert_array_equal(both.apply(params, x), apart)


def test_sizes_need_not_be_python_ints():
    """NumPy's numbers do as well, and are written down as plain ones."""
    layer = nn.pad(np.int64(1), value=np.float32(0.5))

    assert layer.apply({}, LINE).shape == (2, 7, 4)
    assert layer.text == "pad(1, value=0.5)"
