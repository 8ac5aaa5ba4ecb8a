"""A small radiotherapy study from formulas: CT slices, structure set, plan, dose and image that refer to one another.

Nothing is read and nothing is random once a ``seed`` is given: equal `Settings` give equal objects, byte for byte. The
objects keep to the IODs of PS3.3 A.3, A.17, A.18, A.19 and A.20 and share one study, patient and frame of reference.
"""

from __future__ import annotations

from collections.abc import Iterator

from dicomcore.data.dataset import Dataset
from dicomcore.rt.phantom.identity import Settings
from dicomcore.rt.phantom.images import ct_image, rt_dose, rt_image
from dicomcore.rt.phantom.planning import rt_plan, rt_structure_set

__all__ = ["Settings", "ct_image", "iter_study", "rt_dose", "rt_image", "rt_plan", "rt_structure_set"]


def iter_study(settings: Settings | None = None) -> Iterator[Dataset]:
    """Each object of the study in turn, CT slices first; made as it is asked for, so large studies need no memory."""
    settings = settings or Settings()
    for index in range(settings.slices):
        yield ct_image(settings, index)
    for build in (rt_structure_set, rt_plan, rt_dose, rt_image):
        yield build(settings)
