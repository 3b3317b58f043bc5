"""Distillation methods by name, and their losses as plain functions."""

from __future__ import annotations

from trainers.distillers.abkd import ABKD, abkd_loss
from trainers.distillers.abkd_dkd import ABKDDKD, abkd_dkd_loss
from trainers.distillers.at import AT, at_loss
from trainers.distillers.base import (
    Batch,
    Distiller,
    FeatureDistiller,
    LogitDistiller,
    Losses,
    MethodParams,
    Setting,
    View,
)
from trainers.distillers.binary_kl import binary_kl_loss, binary_kl_norm_loss
from trainers.distillers.catkd import CATKD, catkd_loss
from trainers.distillers.crd import CRD, crd_loss
from trainers.distillers.crld import CRLD, crld_loss
from trainers.distillers.ctkd import CTKD
from trainers.distillers.dhkd import DHKD
from trainers.distillers.dho import DHO, dho_loss
from trainers.distillers.dist import DIST, dist_loss
from trainers.distillers.dkd import DKD, dkd_loss
from trainers.distillers.fitnet import FitNet, fitnet_loss
from trainers.distillers.gdkd import GDKD, gdkd_loss
from trainers.distillers.gdkd3 import GDKD3, gdkd3_loss
from trainers.distillers.kd import KD, kd_loss
from trainers.distillers.label_correction import LA, LR, RC, la_loss, lr_loss, rc_loss
from trainers.distillers.ldrld import LDRLD, ldrld_loss
from trainers.distillers.lskd import LSKD, lskd_loss, standardize
from trainers.distillers.mlkd import MLKD, mlkd_loss
from trainers.distillers.nkd import NKD, nkd_loss
from trainers.distillers.normkd import NormKD, NormKDDKD, normkd_dkd_loss, normkd_loss
from trainers.distillers.nst import NST, nst_loss
from trainers.distillers.ofd import OFD, ofd_loss
from trainers.distillers.pkt import PKT, pkt_loss
from trainers.distillers.registry import METHODS, build_distiller
from trainers.distillers.reviewkd import ReviewKD, hcl_loss
from trainers.distillers.rkd import RKD, rkd_loss
from trainers.distillers.rld import RLD, rld_loss
from trainers.distillers.scratch import Scratch
from trainers.distillers.sdd import SDD, sdd_loss
from trainers.distillers.simkd import SimKD, simkd_loss
from trainers.distillers.sld import SLD, sld_loss, swap_logits
from trainers.distillers.sp import SP, sp_loss
from trainers.distillers.tekap import TeKAP, tekap_loss
from trainers.distillers.ttm import TTM, WTTM, ttm_loss
from trainers.distillers.vid import VID, vid_loss
from trainers.distillers.wkd import WKD, wkd_loss

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
METHODS.add("rld", RLD)
METHODS.add("la", LA)
METHODS.add("rc", RC)
METHODS.add("lr_revision", LR)
METHODS.add("abkd", ABKD)
METHODS.add("abkd_dkd", ABKDDKD)
METHODS.add("normkd", NormKD)
METHODS.add("normkd_dkd", NormKDDKD)
METHODS.add("ldrld", LDRLD)
METHODS.add("wkd", WKD)
METHODS.add("ctkd", CTKD)
METHODS.add("mlkd", MLKD)
METHODS.add("sld", SLD)
METHODS.add("tekap", TeKAP)
METHODS.add("dho", DHO)
METHODS.add("sdd", SDD)
METHODS.add("crld", CRLD)
METHODS.add("fitnet", FitNet)
METHODS.add("at", AT)
METHODS.add("nst", NST)
METHODS.add("sp", SP)
METHODS.add("pkt", PKT)
METHODS.add("rkd", RKD)
METHODS.add("vid", VID)
METHODS.add("crd", CRD)
METHODS.add("ofd", OFD)
METHODS.add("reviewkd", ReviewKD)
METHODS.add("simkd", SimKD)
METHODS.add("catkd", CATKD)

__all__ = [
    "METHODS",
    "Batch",
    "Distiller",
    "FeatureDistiller",
    "LogitDistiller",
    "Losses",
    "MethodParams",
    "Setting",
    "View",
    "abkd_dkd_loss",
    "abkd_loss",
    "at_loss",
    "binary_kl_loss",
    "binary_kl_norm_loss",
    "build_distiller",
    "catkd_loss",
    "crd_loss",
    "crld_loss",
    "dho_loss",
    "dist_loss",
    "dkd_loss",
    "fitnet_loss",
    "gdkd3_loss",
    "gdkd_loss",
    "hcl_loss",
    "kd_loss",
    "la_loss",
    "ldrld_loss",
    "lr_loss",
    "lskd_loss",
    "mlkd_loss",
    "nkd_loss",
    "normkd_dkd_loss",
    "normkd_loss",
    "nst_loss",
    "ofd_loss",
    "pkt_loss",
    "rc_loss",
    "rkd_loss",
    "rld_loss",
    "sdd_loss",
    "simkd_loss",
    "sld_loss",
    "sp_loss",
    "standardize",
    "swap_logits",
    "tekap_loss",
    "ttm_loss",
    "vid_loss",
    "wkd_loss",
]
