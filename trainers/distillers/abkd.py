"""Distillation by the alpha-beta divergence (Wang et al., arXiv 2505.04560, ICML 2025).

::

    L = ce_weight * CE(z_s, y) + kd_weight * D(p || q)                    p, q: softmax(z_t / T), softmax(z_s / T)

    D = - 1 / (a b) * sum over classes of [p^a q^b - a / (a + b) p^(a + b) - b / (a + b) q^(a + b)]

a -> `alpha`, b -> `beta`, T -> `temperature`. a = 1, b -> 0 is KL(p || q), a -> 0, b = 1 is KL(q || p), a = b = 1/2
four times the squared Hellinger distance, a = b = 1 half the squared difference, and a, b -> 0 half the squared
difference of log-probabilities. There is no factor T², so weights are large.

The formula is 0 / 0 at a = 0, b = 0 and a + b = 0, and cancels near them and wherever p and q are close. With d = log q
- log p it is, for any a and b,

    D = sum over classes of d² exp[(a + b) log p, a log p + b log q, (a + b) log q]

exp[u, v, w]: the second divided difference of the exponential function, which is smooth in all three. It is computed
so, which has no special case and gives the limits themselves.

Where the authors' release (ghwang-s/abkd) differs: it raises probabilities to powers, whose gradient is NaN once the
student's underflows and b < 1, and whose values cancel to four digits; elsewhere the numbers are equal. Its special
cases lack a factor, 1 / b at a = 0 and 1 / a else, so that it jumps there unless that is 1. Its defaults are a =
b = 1/2 and no weight; those here are its README's for resnet56 -> resnet20. `standardize` is its ABLSD (alpha 0.9, beta
0.3, T = 2, weights 0.1 and 9), which has a factor T²: `kd_weight` is 36 then. Negative exponents, which it tries beside
DKD, are for :func:`abkd_loss` alone: those divergences have no bound where a probability of the student vanishes.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from trainers.distillers.base import LogitDistiller, MethodParams
from trainers.distillers.lskd import standardize as standard_scores

NEAR = 0.5
"""Up to which difference of exponents a series is used."""
SERIES, LONG_SERIES = 8, 13
"""Its terms, and those in double precision: the first that is left out is below the precision."""


def abkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    alpha: float = 0.8,
    beta: float = 0.3,
    temperature: float = 4.0,
    standardize: bool = False,
) -> Tensor:
    """The divergence, summed over classes, mean over the batch.

    Args:
        student_logits, teacher_logits: ``[B, C]``; no gradient reaches the teacher's.
        alpha, beta: exponents of the teacher's and the student's probabilities; any numbers.
        temperature: `T`.
        standardize: compare standard scores of both logits.
    """
    student, teacher = student_logits, teacher_logits.detach()
    if standardize:
        student, teacher = standard_scores(student), standard_scores(teacher)
    ours, theirs = ((logits / temperature).log_softmax(dim=1) for logits in (student, teacher))
    return alpha_beta_divergence(theirs, ours, alpha, beta).mean()


def alpha_beta_divergence(log_p: Tensor, log_q: Tensor, alpha: float, beta: float) -> Tensor:
    """D(p || q) ``[B]`` of log-probabilities ``[B, C]``; exact at and near alpha, beta or their sum 0.

    The gradient, which reaches `log_q` alone, is the closed form (q^(a + b) - p^a q^b) / a, a first divided difference:
    fewer kernels than differentiating the series takes, a step of 235 instead of 400.
    """
    with torch.no_grad():
        value, slope = _value_and_slope(log_p, log_q, alpha, beta)
    return value + (slope * (log_q - log_q.detach())).sum(dim=1)


def _value_and_slope(log_p: Tensor, log_q: Tensor, alpha: float, beta: float) -> tuple[Tensor, Tensor]:
    """D ``[B]`` and how it changes with `log_q`, ``[B, C]``."""
    total, gap = alpha + beta, log_q - log_p
    shares = sorted((0.0, beta, total))
    low, middle, high = [total * log_p + share * gap for share in shares]
    width, (below, above) = shares[2] - shares[0], (shares[1] - shares[0], shares[2] - shares[1])
    near = (width * gap).abs() < NEAR
    little = torch.where(near, gap, 0)
    places = [-below / (width or 1), 0.0, above / (width or 1)]
    series = little.square() * middle.exp() * _series(width * little, places)
    far = (_rise(middle, high, above, gap) - _rise(low, middle, below, gap)) / (width or 1)
    slope = _rise(total * log_p + beta * gap, total * log_q, alpha, gap)
    return torch.where(near, series, far).sum(dim=1), slope


def _rise(start: Tensor, end: Tensor, share: float, gap: Tensor) -> Tensor:
    """gap exp[u, v], where v - u is `share` of the gap: a first divided difference."""
    near = (share * gap).abs() < NEAR
    little = torch.where(near, gap, 0)
    series = little * start.exp() * _series(share * little, [0.0, 1.0])
    return torch.where(near, series, (end.exp() - start.exp()) / (share or 1))


def _series(scale: Tensor, places: list[float]) -> Tensor:
    """The divided difference of the exponential function at `places` times `scale`, for small products."""
    order = len(places) - 1
    total = torch.zeros_like(scale)
    terms = LONG_SERIES if scale.dtype == torch.float64 else SERIES
    for power in reversed(range(terms)):
        total = total * scale + _complete(places, power) / math.factorial(power + order)
    return total


def _complete(places: list[float], power: int) -> float:
    """Sum of all products of `power` of the places, each as often as one likes."""
    if len(places) == 1:
        return places[0] ** power
    return sum(places[0] ** first * _complete(places[1:], power - first) for first in range(power + 1))


class ABKDParams(MethodParams):
    """Hyperparameters of ABKD."""

    ce_weight: float = Field(1.0, ge=0)
    """Weight of the cross-entropy with the labels."""
    kd_weight: float = Field(32.0, ge=0)
    """Weight of the divergence, which has no factor T²."""
    alpha: float = Field(0.8, ge=0)
    """Exponent of the teacher's probabilities: the larger, the less the classes count that it holds unlikely."""
    beta: float = Field(0.3, ge=0)
    """Exponent of the student's probabilities: the larger, the less the classes count that it holds unlikely."""
    temperature: float = Field(4.0, gt=0)
    """`T`, softens both distributions."""
    standardize: bool = False
    """Standardise both logits first (LSKD); the temperature then divides standard scores: 2, say."""


class ABKD(LogitDistiller):
    """A divergence between forward and reverse KL and beyond, told by two exponents."""

    Params: ClassVar[type[MethodParams]] = ABKDParams
    summary: ClassVar[str] = "alpha-beta divergence of softened probabilities (arXiv 2505.04560)"
    params: ABKDParams

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`abkd`: :func:`abkd_loss`, a scalar, from logits ``[B, C]``."""
        params = self.params
        options = {"alpha": params.alpha, "beta": params.beta, "temperature": params.temperature}
        return {"abkd": abkd_loss(student, teacher, **options, standardize=params.standardize)}

    def weights(self, epoch: int) -> dict[str, float]:
        """`ce_weight` for `ce` and `kd_weight` for `abkd`, in every epoch."""
        return {"ce": self.params.ce_weight, "abkd": self.params.kd_weight}
