"""The auxiliary head of Dual-Head Knowledge Distillation (arXiv 2411.08937): a second classifier on the same feature.

It belongs to the distiller, not to the student: the student's own weights are initialised, named and exported as if
it did not exist. Inside the module the keys are those of the authors' second head (``fc2`` there), less that prefix.

Shapes: `B` batch, `C` classes, `D` features.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn


class NonlinearHead(nn.Module):
    """Linear, dropout, BatchNorm, ReLU, linear: for teachers and students of different families (paper, section 4)."""

    def __init__(self, feature_dim: int, num_classes: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(feature_dim, hidden),
            nn.Dropout(dropout),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, pooled: Tensor) -> Tensor:
        """``[B, D]`` to logits ``[B, C]``."""
        return self.net(pooled)  # type: ignore[no-any-return]


def auxiliary_head(
    kind: Literal["linear", "nonlinear"], feature_dim: int, num_classes: int, *, hidden: int = 200, dropout: float = 0.1
) -> nn.Module:
    """A second head from pooled features ``[B, D]`` to logits ``[B, C]``.

    `hidden` (units) and `dropout` (probability) are those of the nonlinear head; the defaults are the authors'.
    """
    if kind == "linear":
        return nn.Linear(feature_dim, num_classes)
    return NonlinearHead(feature_dim, num_classes, hidden, dropout)
