"""Pictures of images, filters, feature maps, training and mistakes.

Each function returns a `matplotlib.figure.Figure` of its own and leaves pyplot alone:
end a notebook cell with it, or keep it with ``figure.savefig("digits.png")``.
"""

from lenetjax.inspection.figures.convolutions import feature_maps, filters
from lenetjax.inspection.figures.pictures import images
from lenetjax.inspection.figures.training import confusion_matrix, learning_curve

__all__ = ["confusion_matrix", "feature_maps", "filters", "images", "learning_curve"]
