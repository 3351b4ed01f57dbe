"""Layers that move values about, `prelu` and `bilinear`."""

import lenetjax as nn
from catalogue.case import Case

CASES = [
    Case("bilinear", nn.bilinear(3), ((2, 3), (2, 4)), drawn=True),
    Case(
        "bilinear without bias",
        nn.bilinear(2, bias=False),
        ((2, 5, 2), (2, 5, 3)),
        drawn=True,
    ),
    Case("unflatten", nn.unflatten(1, (3, -1)), (2, 6, 2)),
    Case("unflatten last", nn.unflatten(-1, (2, 2)), (2, 4)),
    Case("reshape", nn.reshape((4, -1)), (2, 2, 6)),
    Case("reshape to nothing more", nn.reshape(()), (2, 1)),
    Case("transpose", nn.transpose((0, 3, 1, 2)), (2, 3, 4, 2)),
    Case("transpose of the batch", nn.transpose((1, 0)), (2, 3), batched=False),
    Case("pad", nn.pad(1), (2, 3, 2)),
    Case("pad with a value", nn.pad(((0, 1), (2, 0)), value=-1.5), (2, 3, 4, 2)),
    Case("pad reflect", nn.pad((1, 2), mode="reflect"), (2, 3, 4, 2)),
    Case("pad replicate", nn.pad(2, mode="replicate"), (2, 3, 2)),
    Case("pad circular", nn.pad(2, mode="circular"), (2, 3, 2, 2, 1)),
    Case("upsample", nn.upsample(scale_factor=2), (2, 3, 2)),
    Case("upsample to a size", nn.upsample((5, 2), mode="linear"), (2, 3, 4, 2)),
    Case(
        "upsample cubic",
        nn.upsample(scale_factor=(1.5, 2), mode="cubic", align_corners=True),
        (2, 3, 4, 2),
    ),
    Case("upsample nearest-exact", nn.upsample(4, mode="nearest-exact"), (2, 3, 2)),
    Case("pixel_shuffle", nn.pixel_shuffle(2), (2, 2, 3, 8)),
    Case("pixel_unshuffle", nn.pixel_unshuffle(2), (2, 4, 2, 3)),
    Case("channel_shuffle", nn.channel_shuffle(2), (2, 3, 6)),
    Case("prelu", nn.prelu(), (2, 5)),
    Case("prelu for each channel", nn.prelu(4, init=0.1), (2, 3, 4)),
]
