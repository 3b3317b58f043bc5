"""Architectures of timm (PyTorch Image Models), such as ``timm:deit_tiny_patch16_224``.

Source: github.com/huggingface/pytorch-image-models. It is an optional extra, imported only when such a name is asked
for. Networks start from random weights; nothing is downloaded. Any of timm's names goes whose last layer is one linear
layer (distilled ones have two).

Stages are what timm's `forward_intermediates` hands out: a convolutional network's stem and stages, a transformer's
tokens after each block as a map; none where a network has no such method. What they were before a ReLU is not known, so
stage and preactivation are the same. A transformer whose position embedding can be interpolated takes images of any
size that its patches divide.

State-dict keys are timm's behind ``network.``.

Shapes: `B` batch, `C` classes, `D` features, `H`, `W` pixels of an image, `h`, `w` pixels or tokens of a map.
"""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, cast

from torch import Tensor, nn

from trainers.errors import InputError, unknown_name
from trainers.models.base import Features, Network
from trainers.registry import Registry

TIMM = "timm:"
"""How the names begin."""
INSTALL = "pip install timm"
"""The command that brings what these names need."""


class TimmNetwork(Network):
    """One of timm's networks behind the interface of ours.

    Args:
        name: timm's.
        num_classes: `C`.
        drop_path: probability with which an image skips the last block in training; 0 at the first.

    Raises:
        InputError: where its last layer is not one linear layer, or it has no drop path and is to have one.
    """

    def __init__(self, name: str, num_classes: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.name = f"{TIMM}{name}"
        self.network = _created(name, num_classes, drop_path)
        if not isinstance(self.network.get_classifier(), nn.Linear):
            raise InputError(f"model '{TIMM}{name}' does not end in one linear layer; take one that does")
        self.feature_dim = self.classifier.in_features
        self.stage_channels = tuple(info["num_chs"] for info in self.network.feature_info) if self._has_stages else ()

    @property
    def classifier(self) -> nn.Linear:
        """What timm calls the classifier: ``[B, D]`` to ``[B, C]``."""
        return cast(nn.Linear, self.network.get_classifier())

    @property
    def _has_stages(self) -> bool:
        return hasattr(self.network, "forward_intermediates") and hasattr(self.network, "feature_info")

    def layer_depths(self) -> dict[str, int]:
        """As timm groups the parameters: stem, blocks one by one, and the head, to which the last norm belongs."""
        if not hasattr(self.network, "group_matcher"):
            return {}
        grouped = _timm().models.group_parameters(self.network, self.network.group_matcher(coarse=False), reverse=True)
        last = max(grouped.values())
        return {f"network.{name}": grouped.get(name, last) for name, _ in self.network.named_parameters()}

    def undecayed(self) -> frozenset[str]:
        """What timm itself names: position embeddings, class tokens and the like."""
        patterns: set[str] = getattr(self.network, "no_weight_decay", set)()
        names = [name for name, _ in self.network.named_parameters()]
        return frozenset(f"network.{name}" for pattern in patterns for name in fnmatch.filter(names, pattern))

    def features(self, images: Tensor) -> Features:
        """One pass over ``[B, 3, H, W]``; `unpooled` is empty where the head does more than average the last map.

        Raises:
            RuntimeError: where timm refuses images of that size.
        """
        try:
            last, stages = self._maps(images)
        except AssertionError as error:  # how timm refuses an image's size; torch's own layers raise RuntimeError
            raise RuntimeError(str(error)) from error
        pooled = self.network.forward_head(last, pre_logits=True)  # [B, D]
        logits = self.classifier(pooled)
        if self._pools_by_average:
            return Features(logits, pooled, tuple(stages), tuple(stages), last)
        return Features(logits, pooled, tuple(stages), tuple(stages))

    def _maps(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the head reads, and the stages."""
        if self._has_stages:
            return cast(tuple[Tensor, list[Tensor]], self.network.forward_intermediates(images))
        return self.network.forward_features(images), []

    @property
    def _pools_by_average(self) -> bool:
        """Whether what the classifier reads is the plain mean of the last map."""
        pool = getattr(self.network, "global_pool", None)
        return getattr(pool, "pool_type", None) == "avg" and bool(self.network.num_features == self.feature_dim)


def _created(name: str, num_classes: int, drop_path: float) -> Any:
    """timm's network, with a position embedding that adapts to the image where it has one."""
    options = {"drop_path_rate": drop_path} if drop_path > 0 else {}
    create = partial(_timm().create_model, name, pretrained=False, num_classes=num_classes)
    try:
        network = create(dynamic_img_size=True, **options)
    except TypeError:  # not a transformer of that kind: its constructor knows no such option
        try:
            network = create(**options)
        except TypeError as error:
            if not options:
                raise
            raise InputError(without_drop_path(f"{TIMM}{name}")) from error
    if options and not any(getattr(module, "drop_prob", 0) for module in network.modules()):
        raise InputError(without_drop_path(f"{TIMM}{name}"))
    return network


def without_drop_path(name: str) -> str:
    """The sentence for a network that is to have a drop path and has none."""
    return f"model '{name}' has no drop path; leave out recipe.drop_path"


def _timm() -> Any:
    """timm itself. Raises InputError, with the command that installs it, where it is missing."""
    if importlib.util.find_spec("timm") is None:
        raise InputError(f"models named '{TIMM}…' need the package timm: {INSTALL}")
    return importlib.import_module("timm")


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(_timm().list_models())


class Models(Registry[Callable[[int], Network]]):
    """Our architectures by name, and timm's behind ``timm:``; only ours are listed."""

    def __getitem__(self, name: str) -> Callable[[int], Network]:
        if not name.startswith(TIMM):
            return super().__getitem__(name)
        if name not in self:
            raise InputError(self.unknown(name))
        return partial(TimmNetwork, name.removeprefix(TIMM))

    def __contains__(self, name: object) -> bool:
        """Raises InputError for one of timm's names where timm is not installed."""
        if isinstance(name, str) and name.startswith(TIMM):
            return name.removeprefix(TIMM) in _names()
        return super().__contains__(name)

    def unknown(self, name: object) -> str:
        """The sentence for a name that is not here; one that begins as timm's do is compared with theirs.

        Raises:
            InputError: for one of timm's names where timm is not installed.
        """
        if not str(name).startswith(TIMM):
            return super().unknown(name)
        guess, _, _ = unknown_name(self.what, name, (f"{TIMM}{known}" for known in _names())).partition("valid: ")
        return f"{guess}valid: the names of timm.list_models()"
