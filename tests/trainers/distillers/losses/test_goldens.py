"""Every loss against the numbers of the authors' code (tests/goldens/losses)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.goldens import arrays, index
from tests.trainers.distillers.losses.authors import assert_loss_and_gradients
from trainers.distillers import (
    binary_kl_loss,
    dist_loss,
    dkd_loss,
    gdkd3_loss,
    gdkd_loss,
    kd_loss,
    lskd_loss,
    mlkd_loss,
    sld_loss,
    standardize,
    swap_logits,
)
from trainers.distillers.dist import dist_terms
from trainers.distillers.dkd import dkd_terms
from trainers.distillers.gdkd import gdkd_terms
from trainers.distillers.gdkd3 import gdkd3_terms
from trainers.distillers.mlkd import mlkd_masks, mlkd_terms
from trainers.distillers.sld import swapped_kl

CASES: list[dict[str, Any]] = index("losses/losses")
ARRAYS = arrays("losses/losses")
NAMES = {"T": "temperature", "strategy": "partition", "kl_type": "kl", "enable_mask": "mask"}

Inputs = dict[str, Tensor]
Hyper = dict[str, Any]


def _ours(hyper: Hyper, *without: str) -> Hyper:
    return {NAMES.get(name, name): value for name, value in hyper.items() if name not in without}


def _inputs(case: dict[str, Any]) -> Inputs:
    found = {name: ARRAYS[key].clone() for name, key in case["inputs"].items()}
    return {name: value.long() if name == "target" else value for name, value in found.items()}


def _binary_kl(x: Inputs, hyper: Hyper) -> Tensor:
    return binary_kl_loss(x["student"], x["teacher"], temperature=hyper["T"], eps=1e-8)


def _dkd(x: Inputs, hyper: Hyper) -> Tensor:
    return dkd_loss(x["student"], x["teacher"], x["target"], **_ours(hyper, "mask_magnitude"))


def _mlkd(x: Inputs, hyper: Hyper) -> Tensor:
    distilled = mlkd_loss(x["student"], x["teacher"], **_ours(hyper, "ce_weight", "kd_weight"))
    return hyper["ce_weight"] * F.cross_entropy(x["student"], x["target"]) + hyper["kd_weight"] * distilled


def _mlkd_weak_strong(x: Inputs, hyper: Hyper) -> Tensor:
    """The weak view in full; KL alone on the strong one, but at 2 and 6 on the weak one again, as in that release."""
    weak = mlkd_loss(x["student"], x["teacher"], temperatures=(hyper["T"], 3, 5, 2, 6))
    strong = sum(kd_loss(x["student_strong"], x["teacher_strong"], temperature=t) for t in (hyper["T"], 3, 5))
    again = sum(kd_loss(x["student"], x["teacher"], temperature=t) for t in (2, 6))
    return _ce_of_both_views(x, hyper) + hyper["kd_weight"] * (weak + strong + again)


def _sld(x: Inputs, hyper: Hyper, detach: bool = False) -> Tensor:
    views = (x["student"], x["teacher"], x["student_strong"], x["teacher_strong"], x["target"])
    return _ce_of_both_views(x, hyper) + hyper["kd_weight"] * sld_loss(*views, epoch=hyper["epoch"], detach=detach)


def _sld_kd(x: Inputs, hyper: Hyper) -> Tensor:
    """What the SLD release calls KD: one view, one temperature, and a weight of 4."""
    ce = F.cross_entropy(x["student"], x["target"])
    swapped = swapped_kl(x["student"], x["teacher"], x["target"], epoch=hyper["epoch"], temperatures=(hyper["T"],))
    return hyper["ce_weight"] * ce + 4 * swapped


def _ce_of_both_views(x: Inputs, hyper: Hyper) -> Tensor:
    both = F.cross_entropy(x["student"], x["target"]) + F.cross_entropy(x["student_strong"], x["target"])
    return hyper["ce_weight"] * both


LOSSES: dict[str, Callable[[Inputs, Hyper], Tensor]] = {
    "binary_kl": _binary_kl,
    "dkd": _dkd,
    "dkdmod": _dkd,
    "gdkd": lambda x, hyper: gdkd_loss(x["student"], x["teacher"], **_ours(hyper)),
    "gdkd3": lambda x, hyper: gdkd3_loss(x["student"], x["teacher"], **_ours(hyper)),
    "dist": lambda x, hyper: dist_loss(x["student"], x["teacher"], **_ours(hyper)),
    "lskd": lambda x, hyper: lskd_loss(x["student"], x["teacher"], **_ours(hyper)),
    "mlkd": _mlkd,
    "mlkd_weak_strong": _mlkd_weak_strong,
    "sld": _sld,
    "sld_detached_variant": lambda x, hyper: _sld(x, hyper, detach=True),
    "sld_kd": _sld_kd,
}


def _cases(*losses: str) -> Any:
    chosen = [case for case in CASES if case["loss"] in losses]
    return pytest.mark.parametrize("case", chosen, ids=[case["id"] for case in chosen])


@_cases(*LOSSES)
def test_loss_and_gradients(case: dict[str, Any]) -> None:
    loss = LOSSES[case["loss"]]
    assert_loss_and_gradients(ARRAYS, case, _inputs(case), lambda given: loss(given, case["hyper"]))


@_cases("dkdmod", "gdkd", "gdkd3", "dist", "mlkd")
def test_unweighted_terms(case: dict[str, Any]) -> None:
    x, hyper, parts = _inputs(case), case["hyper"], case["parts"]
    logits = (x["student"], x["teacher"])
    if case["loss"] == "dkdmod":
        found = dkd_terms(*logits, x["target"], **_ours(hyper, "mask_magnitude", "alpha", "beta"))
        names = ["tckd_loss", "nckd_loss"]
    elif case["loss"] == "dist":
        found, names = dist_terms(*logits, temperature=hyper["T"]), ["inter_loss", "intra_loss"]
    elif case["loss"] == "mlkd":
        found = mlkd_terms(*logits, **_ours(hyper, "ce_weight", "kd_weight"))
        names = ["kd_loss", "cc_loss", "bc_loss"]
    else:
        terms = gdkd_terms if case["loss"] == "gdkd" else gdkd3_terms
        found = terms(*logits, **_ours(hyper, "w0", "w1", "w2"))
        names = ["high_loss", "low_top_loss", "low_other_loss"]
    assert [term.item() for term in found] == pytest.approx([parts[name] for name in names], rel=1e-5, abs=1e-7)


@_cases("lskd")
def test_standard_scores(case: dict[str, Any]) -> None:
    """The release reports each batch's mean of the samples' means and deviations; with them the scores invert."""
    for name, logits in _inputs(case).items():
        if name == "target":
            continue
        scores = standardize(logits)
        deviation = (logits.amax(1) - logits.amin(1)) / (scores.amax(1) - scores.amin(1))
        location = logits[:, 0] - scores[:, 0] * deviation
        assert deviation.mean().item() == pytest.approx(case["parts"][f"std_{name}"], rel=1e-5)
        assert location.mean().item() == pytest.approx(case["parts"][f"mean_{name}"], abs=1e-5)


@_cases("mlkd")
def test_masks(case: dict[str, Any]) -> None:
    if not case["hyper"]["enable_mask"]:
        assert f"{case['id']}/mask" not in ARRAYS
        return
    masks = mlkd_masks(_inputs(case)["teacher"], conf=case["hyper"]["conf"], class_conf=case["hyper"]["class_conf"])
    for ours, name in zip(masks, ("mask", "class_conf_mask"), strict=True):
        expected = np.unpackbits(ARRAYS[f"{case['id']}/{name}"].numpy(), count=len(ours)).astype(bool)
        assert ours.tolist() == expected.tolist()


@_cases("swap")
def test_swap_is_exact(case: dict[str, Any]) -> None:
    inputs = _inputs(case)
    for name in ("student", "teacher"):
        expected = _changed(inputs[name], f"{case['id']}/{name}")
        assert torch.equal(swap_logits(inputs[name], inputs["target"]), expected)
    student, cotangent = inputs["student"].requires_grad_(), ARRAYS[f"{case['id']}/cotangent"]
    swap_logits(student, inputs["target"]).backward(cotangent)  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert torch.equal(student.grad, _changed(cotangent, f"{case['id']}/vjp"))


def _changed(like: Tensor, key: str) -> Tensor:
    flat = like.detach().clone().flatten()
    flat[ARRAYS[f"{key}/at"].long()] = ARRAYS[f"{key}/values"]
    return flat.reshape(like.shape)
