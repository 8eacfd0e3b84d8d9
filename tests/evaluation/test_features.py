"""Features of several sets of images are put together by kind."""

import torch

from lina_lab.evaluation.features import Features


def test_parts_become_one_and_what_no_part_has_stays_missing():
    parts = [Features(torch.full((n, 2), float(n)), logits=torch.zeros(n, 5)) for n in (1, 3)]
    whole = Features.cat(parts)
    assert whole.features[:, 0].tolist() == [1, 3, 3, 3]
    assert whole.logits.shape == (4, 5)
    assert (whole.classes, whole.spatial) == (None, None)
