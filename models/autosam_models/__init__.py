"""Networks of the AutoSAM Adapter: tensors in, tensors out.

Letters of shapes: B batch, C channels, K classes with background, D H W depth, height and width, N tokens; in
attention also W windows, M heads, E columns of a query or key. ``image_BCDHW`` is such a tensor, axes in that order.
"""

import autosam_models.catalogue  # noqa: F401  (registers the models)
from autosam_models.registry import ModelCard, build_model, find_model, model_cards, model_names, trained_parameters

__all__ = ["ModelCard", "build_model", "find_model", "model_cards", "model_names", "trained_parameters"]
