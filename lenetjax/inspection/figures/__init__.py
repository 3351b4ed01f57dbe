"""Pictures of images, filters, feature maps, distributions, training and mistakes.

Each function returns a `matplotlib.figure.Figure` of its own and leaves pyplot alone:
end a notebook cell with it, or keep it with ``figure.savefig("digits.png")``.
"""

from lenetjax.inspection.figures.convolutions import feature_maps, filters
from lenetjax.inspection.figures.distributions import activations, gradients, weights
from lenetjax.inspection.figures.explanations import class_activation, saliency
from lenetjax.inspection.figures.landscapes import landscape
from lenetjax.inspection.figures.pictures import images, mistakes
from lenetjax.inspection.figures.sweeps import sweep_curves
from lenetjax.inspection.figures.training import confusion_matrix, learning_curve

__all__ = [
    "activations",
    "class_activation",
    "confusion_matrix",
    "feature_maps",
    "filters",
    "gradients",
    "images",
    "landscape",
    "learning_curve",
    "mistakes",
    "saliency",
    "sweep_curves",
    "weights",
]
