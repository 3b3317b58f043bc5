"""Distillation methods by name, and their losses as plain functions."""

from __future__ import annotations

from trainers.config import MethodConfig
from trainers.distillers.base import Batch, Distiller, LogitDistiller, Losses, MethodParams
from trainers.distillers.binary_kl import binary_kl_loss, binary_kl_norm_loss
from trainers.distillers.dhkd import DHKD
from trainers.distillers.dist import DIST, dist_loss
from trainers.distillers.dkd import DKD, dkd_loss
from trainers.distillers.gdkd import GDKD, gdkd_loss
from trainers.distillers.gdkd3 import GDKD3, gdkd3_loss
from trainers.distillers.kd import KD, kd_loss
from trainers.distillers.lskd import LSKD, lskd_loss, standardize
from trainers.distillers.mlkd import mlkd_loss
from trainers.distillers.nkd import NKD, nkd_loss
from trainers.distillers.scratch import Scratch
from trainers.distillers.sld import sld_loss, swap_logits
from trainers.distillers.ttm import TTM, WTTM, ttm_loss
from trainers.models import Network
from trainers.registry import Registry

METHODS: Registry[type[Distiller]] = Registry("method")
METHODS.add("scratch", Scratch)
METHODS.add("kd", KD)
METHODS.add("dhkd", DHKD)
METHODS.add("dkd", DKD)
METHODS.add("gdkd", GDKD)
METHODS.add("gdkd3", GDKD3)
METHODS.add("dist", DIST)
METHODS.add("lskd", LSKD)
METHODS.add("nkd", NKD)
METHODS.add("ttm", TTM)
METHODS.add("wttm", WTTM)


def build_distiller(config: MethodConfig, student: Network, num_classes: int) -> Distiller:
    """The method that `config` names, around `student`; its own layers are drawn from torch's global generator.

    Raises:
        InputError: for a method that does not exist.
        pydantic.ValidationError: for hyperparameters that the method does not take.
    """
    method = METHODS[config.name]
    return method.create(method.Params.model_validate(config.params), student, num_classes)


__all__ = [
    "METHODS",
    "Batch",
    "Distiller",
    "LogitDistiller",
    "Losses",
    "MethodParams",
    "binary_kl_loss",
    "binary_kl_norm_loss",
    "build_distiller",
    "dist_loss",
    "dkd_loss",
    "gdkd3_loss",
    "gdkd_loss",
    "kd_loss",
    "lskd_loss",
    "mlkd_loss",
    "nkd_loss",
    "sld_loss",
    "standardize",
    "swap_logits",
    "ttm_loss",
]
