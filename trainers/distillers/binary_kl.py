"""The binary losses of Dual-Head Knowledge Distillation (arXiv 2411.08937): every class is a yes-or-no question.

::

    BinaryKL      = T²/B sum_b sum_c KL(Bernoulli(sigmoid(z_t / T)) || Bernoulli(sigmoid(z_s / T)))

    BinaryKL-Norm = T²/B sum_b sum_c KL(Bernoulli(1/2) || Bernoulli(sigmoid((z_s - z_t) / T)))
                  = T²/B sum_b sum_c log cosh((z_s - z_t) / 2T)

z_s, z_t: `student_logits` and `teacher_logits`; T: `temperature`. The sum over classes is not divided by C, so both
losses grow with the number of classes. BinaryKL saturates where both probabilities do; BinaryKL-Norm compares the
logits themselves, and unlike softmax KL neither ignores a shift common to all classes.

Where the authors' release differs: it clamps every sigmoid to [1e-8, 1 - 1e-8], and in float32 the upper bound rounds
to 1, so that from a scaled logit of about 17 on its losses are infinite or NaN. The forms here are exact everywhere;
`eps` = 1e-8 gives the clamp as their code computes it in float64. BinaryKL-Norm is what their scripts train with;
BinaryKL is defined in the release, and used in the paper's analysis, but no script of the release calls it.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def logit_bound(eps: float) -> float:
    """The logit of 1 - `eps`: clamping a sigmoid to [eps, 1 - eps] is clamping its logit to plus or minus this."""
    return math.log((1 - eps) / eps)


def binary_kl_loss(
    student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 2.0, eps: float = 0.0
) -> Tensor:
    """BinaryKL: sum over classes, mean over the batch, times T².

    Args:
        student_logits, teacher_logits: ``[B, C]``.
        temperature: `T`.
        eps: 0 for the exact form; 1e-8 for the authors' clamp of each sigmoid to [eps, 1 - eps], beyond which the
            student's gradient is zero.
    """
    student, teacher = student_logits / temperature, teacher_logits.detach() / temperature
    if eps > 0:
        bound = logit_bound(eps)
        student, teacher = student.clamp(-bound, bound), teacher.clamp(-bound, bound)
    yes = teacher.sigmoid() * (F.logsigmoid(teacher) - F.logsigmoid(student))
    no = (-teacher).sigmoid() * (F.logsigmoid(-teacher) - F.logsigmoid(-student))
    return (yes + no).sum() * (temperature**2 / len(student_logits))


def binary_kl_norm_loss(
    student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 2.0, eps: float = 0.0
) -> Tensor:
    """BinaryKL-Norm: sum over classes, mean over the batch, times T².

    Args:
        student_logits: ``[B, C]``, of the auxiliary head.
        teacher_logits: ``[B, C]``.
        temperature: `T`; the gradient of each logit is bounded by T / 2B.
        eps: 0 for the exact form; 1e-8 for the authors' clamp of each sigmoid to [eps, 1 - eps], beyond which the loss
            is flat and the gradient zero (as their release computes it in float64).
    """
    half = (student_logits - teacher_logits.detach()) / (2 * temperature)
    if eps > 0:
        half = half.clamp(-logit_bound(eps) / 2, logit_bound(eps) / 2)
    size = half.abs()
    # log cosh x = -log(1 - tanh²x) / 2, exact at small x, and |x| + log((1 + exp(-2|x|)) / 2), which never overflows
    near = -torch.log1p(-half.clamp(-1, 1).tanh().square()) / 2
    far = size + torch.log1p(torch.expm1(-2 * size) / 2)
    return torch.where(size < 1, near, far).sum() * (temperature**2 / len(student_logits))
