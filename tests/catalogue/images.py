"""Convolutions and pooling, in one, two and three dimensions."""

import lenetjax as nn
from catalogue.case import Case

LINE, IMAGE, VOLUME = (2, 7, 2), (2, 5, 6, 2), (2, 3, 4, 3, 2)
CONVOLUTIONS = [
    Case("conv1d", nn.conv1d(3, 3, stride=2, padding=1), LINE, drawn=True),
    Case(
        "conv1d circular",
        nn.conv1d(2, 3, padding=2, padding_mode="circular"),
        LINE,
        drawn=True,
    ),
    Case(
        "conv2d reflect",
        nn.conv2d(3, 3, padding="SAME", padding_mode="reflect"),
        IMAGE,
        drawn=True,
    ),
    Case(
        "conv2d replicate",
        nn.conv2d(3, 3, padding=(2, 1), stride=2, padding_mode="replicate"),
        IMAGE,
        drawn=True,
    ),
    Case("conv3d", nn.conv3d(2, 2, padding=1, stride=(1, 2, 1)), VOLUME, drawn=True),
    Case("conv3d groups", nn.conv3d(4, 2, groups=2, bias=False), VOLUME, drawn=True),
    Case("conv_transpose1d", nn.conv_transpose1d(3, 3, stride=2), LINE, drawn=True),
    Case(
        "conv_transpose2d",
        nn.conv_transpose2d(3, 3, stride=2, padding=1, output_padding=(1, 0)),
        IMAGE,
        drawn=True,
    ),
    Case(
        "conv_transpose2d SAME",
        nn.conv_transpose2d(2, (2, 3), stride=(3, 2), padding="SAME"),
        IMAGE,
        drawn=True,
    ),
    Case(
        "conv_transpose2d groups",
        nn.conv_transpose2d(4, 2, dilation=2, groups=2, bias=False),
        IMAGE,
        drawn=True,
    ),
    Case("conv_transpose3d", nn.conv_transpose3d(2, 2, stride=2), VOLUME, drawn=True),
]
POOLING = [
    Case("max_pool1d", nn.max_pool1d(2), LINE),
    Case("max_pool1d ceil", nn.max_pool1d(3, stride=2, ceil_mode=True), LINE),
    Case("max_pool2d dilation", nn.max_pool2d(2, stride=1, dilation=(2, 3)), IMAGE),
    Case("max_pool3d", nn.max_pool3d(2, stride=1, padding=1), VOLUME),
    Case("avg_pool1d", nn.avg_pool1d(3, padding=1, count_include_pad=False), LINE),
    Case("avg_pool2d ceil", nn.avg_pool2d(2, ceil_mode=True), IMAGE),
    Case("avg_pool3d", nn.avg_pool3d((1, 2, 2)), VOLUME),
    Case("lp_pool1d", nn.lp_pool1d(2, 3), LINE),
    Case("lp_pool2d", nn.lp_pool2d(4, 2, stride=1, ceil_mode=True), IMAGE),
    Case("lp_pool3d", nn.lp_pool3d(2.0, 2), VOLUME),
    Case("adaptive_avg_pool1d", nn.adaptive_avg_pool1d(3), LINE),
    Case("adaptive_avg_pool2d", nn.adaptive_avg_pool2d((7, 3)), IMAGE),
    Case("adaptive_avg_pool2d kept", nn.adaptive_avg_pool2d((2, None)), IMAGE),
    Case("adaptive_avg_pool3d", nn.adaptive_avg_pool3d(2), VOLUME),
    Case("adaptive_max_pool1d", nn.adaptive_max_pool1d(3), LINE),
    Case("adaptive_max_pool2d", nn.adaptive_max_pool2d((3, 4)), IMAGE),
    Case("adaptive_max_pool3d", nn.adaptive_max_pool3d((2, 3, 1)), VOLUME),
    Case("global_avg_pool", nn.global_avg_pool(), IMAGE),
    Case("global_avg_pool of a line", nn.global_avg_pool(), LINE),
    Case("global_max_pool", nn.global_max_pool(), VOLUME),
]
CASES = [*CONVOLUTIONS, *POOLING]
