"""A network as any ``nn.Module``: logits alone are enough for the methods that read no more.

What the classifier reads, and DHKD's second head with it, is found without a word of the user's: it is the input of
the last linear layer that has as many outputs as there are classes, where that gives the logits.

State-dict keys are the user's behind ``network.``.

Shapes: `B` batch, `C` classes, `D` features, `H`, `W` pixels of an image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard, TypeVar

from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from trainers.code import theirs
from trainers.errors import InputError
from trainers.models import MODELS, Features, Network
from trainers.own.registration import Origin, register

Builder = Callable[..., Any]
B = TypeVar("B", bound=Builder)


def model(name: str) -> Callable[[B], B]:
    """Register what builds a network: a class, or a function, that takes `num_classes` and gives an ``nn.Module`` from
    images ``[B, 3, H, W]`` to logits ``[B, C]``.

    Args:
        name: what specs call it.

    Raises:
        InputError: for a name that is none or taken.
    """

    def registered(given: B) -> B:
        origin = Origin.of(given)
        if not callable(given):
            raise origin.refuse(f"model '{name}' is nothing that builds a network: decorate a class or a function")
        register(MODELS, name, lambda num_classes: _built(name, given, num_classes, origin), origin)
        return given

    return registered


def _built(name: str, builder: Builder, num_classes: int, origin: Origin) -> Network:
    """A network behind the interface of ours. Raises InputError where the user's code builds none."""
    with theirs(f"model '{name}'"):
        network = builder(num_classes=num_classes)
    if not isinstance(network, nn.Module):
        raise origin.refuse(f"model '{name}' built {type(network).__name__}, not an nn.Module")
    if any(isinstance(parameter, UninitializedParameter) for parameter in network.parameters()):
        raise origin.refuse(f"model '{name}' has lazy layers, which have no weights yet; give them their sizes")
    if isinstance(network, Network):
        return network
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise origin.refuse(f"model '{name}' has no parameter that could learn")
    return PlainNetwork(name, network, num_classes)


class PlainNetwork(Network):
    """A user's ``nn.Module`` behind the interface of ours: logits, and what its last linear layer reads."""

    stage_channels = ()

    def __init__(self, name: str, network: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.name, self.num_classes = name, num_classes
        self.network = network
        heads = [module for module in network.modules() if _could_be_head(module, num_classes)]
        self._head: tuple[nn.Linear, ...] = tuple(heads[-1:])  # a tuple: it is no further module of this one
        self._missing = "" if heads else f"has no linear layer with {num_classes} outputs"
        self._passed: list[tuple[nn.Module, Tensor, Tensor]] = []
        for head in heads:
            head.register_forward_hook(self._note)

    def _note(self, head: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """What a layer that may be the last one has read and given."""
        self._passed.append((head, inputs[0], output))

    @property
    def feature_dim(self) -> int:  # type: ignore[override]
        """`D`. Raises InputError as :attr:`classifier` does."""
        return self.classifier.in_features

    @property
    def classifier(self) -> nn.Linear:
        """The last linear layer of `C` outputs, ``[B, D]`` to ``[B, C]``. Raises InputError where there is none, or a
        pass has shown that it is not what gives the logits."""
        if self._missing:
            raise InputError(
                f"model '{self.name}' {self._missing}, which this method needs; let a linear layer that is assigned"
                " last give the logits, or take a method that reads logits alone"
            )
        return self._head[0]

    def features(self, images: Tensor) -> Features:
        """One pass over ``[B, 3, H, W]``: logits, and `pooled` where there is a last linear layer; no stages.

        Raises:
            InputError: where the network gives no logits.
            RuntimeError: for images that it does not take.
        """
        self._passed.clear()
        try:
            logits = self.network(images)
            pooled = self._pooled(logits)
        finally:
            self._passed.clear()  # a copy of the network could not hold what is a part of a graph
        if not isinstance(logits, Tensor) or logits.shape != (images.shape[0], self.num_classes):
            found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise InputError(
                f"model '{self.name}' gave {found} for {len(images)} images of {self.num_classes} classes, not logits"
                f" [{len(images)}, {self.num_classes}]"
            )
        return Features.of_logits(logits, pooled)

    def _pooled(self, logits: object) -> Tensor | None:
        """What the layer has read that gave the logits; None where that is no ``[B, D]``, which is noted."""
        if not self._passed:
            self._missing = self._missing or "does not use its last linear layer"
            return None
        gave = [passed for passed in self._passed if passed[2] is logits] if len(self._passed) > 1 else []
        head, pooled, _ = (gave or self._passed)[-1]
        if head is not self._head[0]:
            self._missing = "has its logits from another linear layer than its last one"
        elif pooled.dim() != 2:
            self._missing = f"gives its last linear layer {list(pooled.shape)}, not [{len(pooled)}, D]"
        return None if self._missing else pooled


def _could_be_head(module: nn.Module, num_classes: int) -> TypeGuard[nn.Linear]:
    return isinstance(module, nn.Linear) and module.out_features == num_classes
