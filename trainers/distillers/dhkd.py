"""Dual-Head Knowledge Distillation (arXiv 2411.08937, KDD 2025).

::

    L = ce_weight * CE(z_s, y) + alpha * BinaryKL-Norm(a, z_t)

    BinaryKL-Norm = T²/B sum_b sum_c KL(Bernoulli(1/2) || Bernoulli(sigmoid((a - z_t) / T)))
                  = T²/B sum_b sum_c log cosh((a - z_t) / 2T)

z_s: logits of the main head, used at test time; a: logits of the auxiliary head on the same feature; z_t: the
teacher's. The sum over classes is not divided by C, so the term grows with the number of classes.

Where the authors' release differs: it clamps the sigmoid to [1e-8, 1 - 1e-8], which in float32 rounds to 1 at the top,
so from (a - z_t) of about 33 on (T = 2) its loss is infinite, and below -37 its gradient vanishes. The log-cosh form
(:mod:`trainers.distillers.binary_kl`) is exact everywhere. `head: shared` (both losses on one head, the conflict of the
paper's section 3), `aux_loss: binary_kl` and `aux_loss: kl` (KD on the auxiliary head) are ablations of the paper which
the release has no path for; `aux_loss: mse`, plain regression of the logits, is ours, for comparison.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from trainers.distillers.base import Batch, Distiller, Losses, MethodParams
from trainers.distillers.binary_kl import binary_kl_loss, binary_kl_norm_loss
from trainers.distillers.kd import kd_loss
from trainers.models import Network, auxiliary_head


class DHKDParams(MethodParams):
    """Hyperparameters of DHKD."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy on the main head (the paper's gamma)."""
    alpha: float = Field(1.0, ge=0)
    """Weight of the auxiliary loss; the authors' README uses 1 on CIFAR-100 and 0.1 on ImageNet."""
    temperature: float = Field(2.0, gt=0)
    """`T` of the auxiliary loss."""
    head: Literal["linear", "nonlinear", "shared"] = "linear"
    """The auxiliary head; `shared` puts both losses on the main head."""
    aux_loss: Literal["binary_kl_norm", "binary_kl", "kl", "mse"] = "binary_kl_norm"
    """The loss on the auxiliary head; `kl` is KD's; `mse` is the mean over batch and classes, without temperature."""
    align: bool = False
    """Gradient alignment: project the auxiliary gradient where it opposes the cross-entropy's."""
    hidden: int = Field(200, ge=1)
    """Units of the nonlinear head."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout probability of the nonlinear head."""
    alpha_epochs: int | None = Field(None, ge=0)
    """Set alpha to 0 after so many epochs (50 in the authors' ImageNet script); null keeps it."""


def mse_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Mean squared difference of logits ``[B, C]``; `temperature` cancels: T² ((a - z_t) / T)² = (a - z_t)²."""
    return F.mse_loss(student_logits, teacher_logits.detach())


AUX_LOSSES = {"binary_kl_norm": binary_kl_norm_loss, "binary_kl": binary_kl_loss, "kl": kd_loss, "mse": mse_loss}


class DHKD(Distiller):
    """Cross-entropy on the main head, a logit-level loss on an auxiliary head that is dropped afterwards."""

    Params: ClassVar[type[MethodParams]] = DHKDParams
    summary: ClassVar[str] = "dual-head distillation: a logit-level loss on a second head (arXiv 2411.08937)"

    def __init__(self, params: DHKDParams, student: Network, num_classes: int) -> None:
        super().__init__(student, num_classes)
        self.params = params
        self.aux_head: nn.Module | None = None
        if params.head != "shared":
            self.aux_head = auxiliary_head(
                params.head, student.feature_dim, num_classes, hidden=params.hidden, dropout=params.dropout
            )
            if isinstance(self.aux_head, nn.Linear):
                student.init_head(self.aux_head)

    @classmethod
    def create(cls, params: Any, student: Network, num_classes: int) -> DHKD:
        return cls(params, student, num_classes)

    def losses(self, batch: Batch) -> Losses:
        passed = self.student.features(batch.images)
        logits = passed.logits.float()
        aux_logits = logits if self.aux_head is None else self.aux_head(passed.pooled).float()
        teacher = batch.need_teacher().logits.float()
        aux = AUX_LOSSES[self.params.aux_loss](aux_logits, teacher, temperature=self.params.temperature)
        return Losses(logits, {"ce": F.cross_entropy(logits, batch.targets), self.params.aux_loss: aux})

    def weights(self, epoch: int) -> dict[str, float]:
        over = self.params.alpha_epochs is not None and epoch > self.params.alpha_epochs
        return {"ce": self.params.ce_weight, self.params.aux_loss: 0.0 if over else self.params.alpha}

    @property
    def align_gradients(self) -> bool:
        return self.params.align
