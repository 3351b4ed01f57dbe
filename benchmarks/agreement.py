"""Whether all peers compute the same thing."""

import math
import statistics
from collections.abc import Mapping, Sequence

# Of LeNet, the losses of the first steps differ by rounding alone, by about 1e-7. In
# ResNet-20 in training, batch statistics of 20 layers magnify rounding, more with each
# step: at step 5 the peers lie up to 2e-4 apart, the variants of PyTorch among them.
# The loss of its first step has seen no update yet, and must agree as LeNet's does.
LOSS = {"lenet": 1e-4, "lenet5": 1e-4, "resnet20": 2e-3}
FIRST_LOSS = 1e-4
LOGITS = 1e-4  # of the largest one
COARSE = 100  # times as much, where products are rounded to TF32


def outliers(
    model: str,
    losses: Mapping[str, Sequence[float]],
    logits: Mapping[str, Sequence[float]],
    *,
    exact: bool = True,
) -> dict[str, str]:
    """Finds the peers that compute something else than most do.

    Args:
      model: the net.
      losses: of the first steps, by peer.
      logits: of some images with the first values, by peer.
      exact: whether products are computed in full float32.

    Returns:
      For each of them, in words, how it differs.
    """
    factor = 1 if exact else COARSE
    found: dict[str, str] = {}
    for name, values in logits.items():
        usual = [_median(each) for each in zip(*logits.values(), strict=True)]
        scale = max(map(abs, usual))
        # The largest of several is not NaN, though one of them may be.
        gaps = [abs(a - b) / scale for a, b in zip(values, usual, strict=True)]
        gap = math.nan if any(map(math.isnan, gaps)) else max(gaps)
        if not gap <= factor * LOGITS:
            found[name] = f"its logits are off by {gap:.1e} of the largest"
    for name, values in losses.items():
        for number, value in enumerate(values):
            usual_loss = _median([each[number] for each in losses.values()])
            gap = abs(value - usual_loss) / abs(usual_loss)
            allowed = factor * (LOSS[model] if number else FIRST_LOSS)
            if not gap <= allowed:
                found[name] = (
                    f"its loss at step {number + 1} is {value:.6f}, "
                    f"that of most peers {usual_loss:.6f}"
                )
                break
    return found


def _median(values: Sequence[float]) -> float:
    """What most have; what is no number has its place at the end."""
    return statistics.median(math.inf if math.isnan(v) else v for v in values)
