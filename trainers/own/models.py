"""A network as any ``nn.Module``: logits alone are enough for the methods that read no more.

What the classifier reads, and DHKD's second head with it, is found without a word of the user's: it is the input of
the last linear layer that has as many outputs as there are classes.

State-dict keys are the user's behind ``network.``.

Shapes: `B` batch, `C` classes, `D` features, `H`, `W` pixels of an image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor, nn

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
    network = builder(num_classes=num_classes)
    if isinstance(network, Network):
        return network
    if not isinstance(network, nn.Module):
        raise origin.refuse(f"model '{name}' built {type(network).__name__}, not an nn.Module")
    return PlainNetwork(name, network, num_classes)


class PlainNetwork(Network):
    """A user's ``nn.Module`` behind the interface of ours: logits, and what its last linear layer reads."""

    stage_channels = ()

    def __init__(self, name: str, network: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.name, self.num_classes = name, num_classes
        self.network = network
        heads = [
            module
            for module in network.modules()
            if isinstance(module, nn.Linear) and module.out_features == num_classes
        ]
        self._head = (heads[-1],) if heads else ()  # in a tuple, so that it is not registered as another module
        self._read: list[Tensor] = []
        for head in self._head:
            head.register_forward_pre_hook(self._note)

    def _note(self, head: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """What the last layer is about to read."""
        self._read.append(inputs[0])

    @property
    def feature_dim(self) -> int:  # type: ignore[override]
        """`D`. Raises InputError as :attr:`classifier` does."""
        return self.classifier.in_features

    @property
    def classifier(self) -> nn.Linear:
        """The last linear layer of `C` outputs, ``[B, D]`` to ``[B, C]``. Raises InputError where there is none."""
        if not self._head:
            raise InputError(
                f"model '{self.name}' has no linear layer with {self.num_classes} outputs, which this method needs; add"
                " one to the network, or take a method that reads logits alone"
            )
        return self._head[0]

    def features(self, images: Tensor) -> Features:
        """One pass over ``[B, 3, H, W]``: logits, and `pooled` where there is a last linear layer; no stages.

        Raises:
            InputError: where the network gives no logits.
            RuntimeError: for images that it does not take.
        """
        self._read.clear()
        logits = self.network(images)
        pooled = self._read.pop() if self._read else None
        if not isinstance(logits, Tensor) or logits.shape != (len(images), self.num_classes):
            found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise InputError(
                f"model '{self.name}' gave {found} for {len(images)} images of {self.num_classes} classes, not logits"
                f" [{len(images)}, {self.num_classes}]"
            )
        return Features.of_logits(logits, pooled if pooled is not None and pooled.dim() == 2 else None)
