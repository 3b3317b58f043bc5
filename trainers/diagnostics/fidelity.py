"""How faithfully a student repeats its teacher, right or wrong, on images that neither was trained on.

::

    agreement   = share of images where argmax z_s = argmax z_t
    divergence  = mean over images of KL(softmax z_t || softmax z_s)
    R(z)[c, d]  = Pearson correlation, over images, of the logits of classes c and d
    correlation = mean over pairs c != d of |R(z_s) - R(z_t)|

z_s, z_t: logits of student and teacher. Agreement and divergence, at temperature 1, are the two fidelity measures of
Stanton et al. (arXiv 2106.05945). The difference of correlation matrices is how CRD (arXiv 1910.10699) and, after it,
DHKD (arXiv 2411.08937) show whether a student has caught the teacher's relations between classes; they draw the matrix,
:func:`correlation_difference`.

Shapes: `N` images, `C` classes. All is computed in float64 on the CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainers.diagnostics.neural_collapse import exact


def agreement(student_logits: Tensor, teacher_logits: Tensor) -> float:
    """Percent of the rows of ``[N, C]`` with the same largest class; of equal logits the first counts."""
    same = student_logits.argmax(dim=1).cpu() == teacher_logits.argmax(dim=1).cpu()
    return 100.0 * float(same.double().mean())


def divergence(student_logits: Tensor, teacher_logits: Tensor) -> float:
    """KL(teacher || student) of ``[N, C]`` in nats, mean over the images."""
    student, teacher = (exact(logits).log_softmax(dim=1) for logits in (student_logits, teacher_logits))
    return float((teacher.exp() * (teacher - student)).sum(dim=1).mean())


def class_correlation(logits: Tensor) -> Tensor:
    """R of ``[N, C]``: float64 ``[C, C]``; NaN in the row and the column of a class whose logit is the same for all."""
    logits = exact(logits)
    deviations = logits - logits.mean(dim=0)
    unit: Tensor = deviations / deviations.norm(dim=0)  # [N, C]
    return torch.mm(unit.T, unit)


def correlation_difference(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """R(z_s) - R(z_t) of ``[N, C]``: float64 ``[C, C]``, the matrix of the papers' figures; they draw its size."""
    return class_correlation(student_logits) - class_correlation(teacher_logits)


def mean_correlation_difference(student_logits: Tensor, teacher_logits: Tensor) -> float:
    """Mean of |R(z_s) - R(z_t)| of ``[N, C]`` over all pairs of classes, 0 to 2; the diagonal, always 0, is left
    out."""
    difference = correlation_difference(student_logits, teacher_logits)
    first, second = torch.triu_indices(len(difference), len(difference), offset=1)
    return float(difference[first, second].abs().mean())


def fidelity(student_logits: Tensor, teacher_logits: Tensor) -> dict[str, float]:
    """All of it, by name, from logits ``[N, C]``."""
    return {
        "fidelity_agreement": agreement(student_logits, teacher_logits),
        "fidelity_kl": divergence(student_logits, teacher_logits),
        "fidelity_correlation": mean_correlation_difference(student_logits, teacher_logits),
    }
