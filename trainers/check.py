"""Whether a trial can be built at all: found when the plan is made, not when its turn comes.

Networks are built without numbers, once per architecture, and kept on torch's meta device, which knows shapes alone.
"""

from __future__ import annotations

from functools import lru_cache

from trainers.config import TrialConfig
from trainers.data.base import ImageData
from trainers.distillers import Distiller, Setting, build_distiller
from trainers.distillers.base import shapes
from trainers.errors import InputError
from trainers.models import Network, build
from trainers.models.outline import Undrawn, outlines


def check(config: TrialConfig, data: ImageData, teacher: str | None) -> None:
    """Whether a trial's model, method and teacher (its architecture) go together, without training or memory.

    Raises:
        InputError: for names that do not exist, hyperparameters that the data set's classes do not allow, images too
            small for a model, and where every loss weight of an epoch is 0.
    """
    setting = Setting(
        num_classes=data.num_classes,
        image_size=data.image_size,
        teacher=None if teacher is None else _blueprint(teacher, data.num_classes, data.image_size),
        index=data.train.index,
        labels=data.train.labels,
        seed=config.seed,
    )
    student = _blueprint(config.model, data.num_classes, data.image_size)
    with outlines():
        refuse_idle_epochs(build_distiller(config.method, student, setting), config)


def refuse_idle_epochs(distiller: Distiller, config: TrialConfig) -> None:
    """Raises InputError where every loss weight of an epoch is 0."""
    for epoch in range(1, config.recipe.epochs + 1):
        if not any(distiller.weights(epoch).values()):
            raise InputError(
                f"method '{config.method.name}': every loss weight is 0 in epoch {epoch}; nothing to learn"
            )


@lru_cache(maxsize=128)
def _blueprint(model: str, num_classes: int, image_size: tuple[int, int]) -> Network:
    """A network of shapes alone, in evaluation mode, which takes images of that size (height, width)."""
    with Undrawn():
        network = build(model, num_classes=num_classes).eval()
    try:
        shapes(network, image_size)  # on the CPU: the meta device would take seconds to load what it runs networks with
    except RuntimeError as error:
        height, width = image_size
        raise InputError(f"model '{model}' does not take images of {height} × {width} pixels: {error}") from error
    return network.to("meta")
