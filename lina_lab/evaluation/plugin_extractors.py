"""A plugin's feature network, its output checked, as an extractor.

Shapes: n images of 3 x h x w uint8, d features.
"""

import torch
from torch import Tensor

from lina_lab.errors import LabError
from lina_lab.escape import shown
from lina_lab.evaluation.features import BATCH, Extractor, Features
from lina_lab.plugins.extractors import FeatureNetwork


def loaded(own: FeatureNetwork, identity: str) -> Extractor:
    """The extractor of a plugin. Metrics are named by its word; its id has the digest of the file.

    Raises:
        LabError: if it cannot be loaded; later, if it gives other than d finite features an image.
    """
    try:
        network = own.load()
    except Exception as error:
        raise LabError(f"extractor {own.word}: load: {shown(f'{type(error).__name__}: {error}')}") from error

    @torch.no_grad()
    def extract(images: Tensor) -> Features:
        return Features.cat([Features(_checked(own, network(batch), len(batch))) for batch in images.split(BATCH)])

    return Extractor(name=own.word, id=identity, dim=own.features, extract=extract)


def _checked(own: FeatureNetwork, found: object, count: int) -> Tensor:
    if not isinstance(found, Tensor) or found.shape != (count, own.features):
        what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise LabError(f"extractor {own.word}: must give features ({count}, {own.features}), not {what}")
    if not found.isfinite().all():
        raise LabError(f"extractor {own.word}: gives features that are not finite")
    return found.float()
