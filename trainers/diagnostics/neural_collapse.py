"""Neural collapse: how far features and a linear head are on their way to a simplex (Papyan, Han & Donoho, PNAS 2020).

::

    m_c = mean of the features h of class c,   m = mean over c of m_c,   M = rows m_c - m,   W, b: the linear head

    NC1  Tr(S_W S_B⁺) / C          S_W = mean over c of the covariance inside c,  S_B = M' M / C,  ⁺: pseudo-inverse
    NC2  std_c |v_c| / mean_c |v_c|                     equal norms,       v: the rows of M, and again those of W
         std over pairs of cos(v_c, v_d)                equal angles
         mean over pairs of |cos(v_c, v_d) + 1/(C - 1)| angles as wide as C vectors allow
    NC3  | W / |W| - M / |M| |     Frobenius norms; 0 to 2
    NC4  share of images where argmax_c (W h + b)_c is not argmin_c |h - m_c|

Each goes to 0 when a network is trained on long after its training error has vanished (arXiv 2008.08186).

Classes count alike where they have different numbers of images; the paper's data are balanced. Standard deviations are
those of the whole population. Rows of W are not centred, as in the paper. Scripts in circulation often leave out the
1/C of NC1 and square the norm of NC3: compare values with care. The means are those of the very images that are
measured, which makes NC1 too small, the more so the fewer they are: compare equal numbers of images.

Shapes: `N` images, `C` classes, `D` features. All is computed in float64 on the CPU.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

RANK_TOLERANCE = 1e-6
"""Directions in which the class means spread by less than this share of their largest spread are rounding: features
come in float32."""


def class_means(features: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """m_c of ``[N, D]`` and int64 ``[N]``: float64 ``[C, D]``. Raises ValueError where a class has no image."""
    features, labels = exact(features), labels.cpu()
    counts = labels.bincount(minlength=num_classes)
    if len(counts) > num_classes or not counts.all():
        raise ValueError(f"each of {num_classes} classes needs an image, and no other label; found {counts.tolist()}")
    sums = features.new_zeros(num_classes, features.shape[1]).index_add(0, labels, features)
    return sums / counts[:, None]


def within_class_variability(features: Tensor, labels: Tensor, num_classes: int) -> float:
    """NC1 of ``[N, D]`` and int64 ``[N]``; NaN where each class has one image, or all means are the same."""
    means, labels = class_means(features, labels, num_classes), labels.cpu()
    if len(labels) == num_classes or coincide(means):
        return math.nan
    _, spreads, directions = torch.linalg.svd(centred(means), full_matrices=False)
    kept = (spreads > RANK_TOLERANCE * spreads[0]).nonzero().flatten()[: num_classes - 1]
    # S_B⁺ = C sum_i v_i v_i' / s_i², so NC1 is the sum over i of the variance inside the classes along v_i, over s_i²
    residuals = (exact(features) - means[labels]) @ directions[kept].T  # [N, at most C - 1]
    weights = 1 / (num_classes * labels.bincount().double()[labels])  # [N], of each image in S_W
    return float((weights @ residuals.square() / spreads[kept].square()).sum())


def equinorm(vectors: Tensor) -> float:
    """Coefficient of variation of the norms of ``[C, D]``; NaN where all are 0."""
    norms = exact(vectors).norm(dim=1)
    return float(norms.std(correction=0) / norms.mean())


def equiangularity(vectors: Tensor) -> float:
    """Standard deviation of the cosines between all pairs of ``[C, D]``; NaN where a vector is 0."""
    return float(pair_cosines(vectors).std(correction=0))


def maximal_angle(vectors: Tensor) -> float:
    """Mean over all pairs of ``[C, D]`` of |cos + 1/(C - 1)|; NaN where a vector is 0."""
    return float((pair_cosines(vectors) + 1 / (len(vectors) - 1)).abs().mean())


def self_duality(weight: Tensor, centred_means: Tensor) -> float:
    """NC3 of the head's weight and M, both ``[C, D]``; NaN where one of them is 0."""
    weight, means = exact(weight), exact(centred_means)
    return float((weight / weight.norm() - means / means.norm()).norm())


def nearest_centre_disagreement(features: Tensor, means: Tensor, weight: Tensor, bias: Tensor | None) -> float:
    """NC4 in percent of the images, of features ``[N, D]``, m_c and weight ``[C, D]`` and bias ``[C]``."""
    features = exact(features)
    logits = features @ exact(weight).T
    decided = (logits if bias is None else logits + exact(bias)).argmax(dim=1)
    nearest = torch.cdist(features, exact(means)).argmin(dim=1)
    return 100.0 * float((decided != nearest).double().mean())


def neural_collapse(features: Tensor, labels: Tensor, weight: Tensor, bias: Tensor | None) -> dict[str, float]:
    """All of it, by name, of what a linear head reads and of that head; empty where all class means are the same.

    Args:
        features: ``[N, D]``.
        labels: int64 ``[N]``, with each class at least once.
        weight, bias: ``[C, D]`` and ``[C]`` or None.
    """
    means = class_means(features, labels, len(weight))
    if coincide(means):
        return {}
    return {
        "nc1": within_class_variability(features, labels, len(weight)),
        "nc2_equinorm": equinorm(centred(means)),
        "nc2_equinorm_head": equinorm(weight),
        "nc2_equiangular": equiangularity(centred(means)),
        "nc2_equiangular_head": equiangularity(weight),
        "nc2_angle": maximal_angle(centred(means)),
        "nc2_angle_head": maximal_angle(weight),
        "nc3": self_duality(weight, centred(means)),
        "nc4": nearest_centre_disagreement(features, means, weight, bias),
    }


def centred(means: Tensor) -> Tensor:
    """M: ``[C, D]`` less the mean of its rows."""
    return means - means.mean(dim=0)


def coincide(means: Tensor) -> bool:
    """Whether the rows of ``[C, D]`` differ by rounding at most, so that their directions say nothing."""
    return bool(centred(means).norm() <= RANK_TOLERANCE * means.norm())


def pair_cosines(vectors: Tensor) -> Tensor:
    """Cosines of all pairs of ``[C, D]``: float64 ``[C (C - 1) / 2]``, NaN where a vector is 0."""
    vectors = exact(vectors)
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    first, second = torch.triu_indices(len(unit), len(unit), offset=1)
    cosines: Tensor = unit @ unit.T
    return cosines[first, second]


def exact(values: Tensor) -> Tensor:
    """The same values, of any shape, in float64 on the CPU, apart from any graph; not all devices have float64."""
    return values.detach().cpu().double()
