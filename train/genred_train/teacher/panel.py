"""Several regressions on the teacher's embeddings, none of which speaks of what it was fitted to.

Of recordings that a regression was fitted to it is surer, and righter, than of any other: to learn
its words is to learn the labels by heart. So recordings are dealt in parts by their groups, and of
each part speaks who was fitted to the others (stacked generalisation: Wolpert, 1992). Of
recordings without a label, and of those of machines, all speak together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from genred_train.teacher.classifier import Classifier


@dataclass(frozen=True)
class Panel:
    """Who speaks of what: ``apart`` tells of a digest which of ``members`` has not heard it."""

    members: tuple[Classifier, ...]
    apart: Mapping[str, int] = field(default_factory=dict)

    def logits(self, inputs: NDArray[np.float32], digest: str = "") -> NDArray[np.float32]:
        """Logits ``[items, labels]`` of what is of the recording ``digest``, or of any."""
        member = self.apart.get(digest)
        members = self.members if member is None else self.members[member : member + 1]
        said = np.stack([each.logits(inputs) for each in members])
        return np.asarray(said.mean(axis=0), np.float32)
