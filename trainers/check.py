"""Whether a trial can be built at all: found when the plan is made, not when its turn comes.

Networks are built without numbers, once per architecture, and kept on torch's meta device, which knows shapes alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from trainers.code import THEIRS, fingerprint, theirs, told
from trainers.config import MethodConfig, Recipe, TrialConfig
from trainers.data.base import ImageData
from trainers.distillers import METHODS, Distiller, Setting, build_distiller
from trainers.distillers.base import shapes
from trainers.errors import InputError
from trainers.loop.optimizers import lamb
from trainers.models import MODELS, Network, build
from trainers.models.outline import Undrawn, outlines
from trainers.own.attempt import try_once
from trainers.own.keys import methods_in
from trainers.recipe_parts import Lamb
from trainers.storage.content import canonical_json


def check(config: TrialConfig, data: ImageData, teacher: str | None) -> None:
    """Whether a trial's model, method and teacher (its architecture) go together, without training or memory.

    Raises:
        InputError: for names that do not exist, hyperparameters that the data set's classes do not allow, images too
            small for a model, and where every loss weight of an epoch is 0.
    """
    setting = Setting(
        num_classes=data.num_classes,
        image_size=data.image_size,
        teacher=None if teacher is None else _blueprint(teacher, data.num_classes, data.image_size, _code(teacher)),
        index=data.train.index,
        labels=data.train.labels,
        seed=config.seed,
    )
    refuse_undecided(config.recipe)
    student = _blueprint(config.model, data.num_classes, data.image_size, _code(config.model))
    _refuse_recipe(config.model, student, config.recipe, data.num_classes)
    for part in methods_in(config.method):
        if METHODS.module(part.name):
            with _explained(part), outlines():
                distiller = build_distiller(part, student, setting)
            try_once(distiller, setting)
    with _explained(config.method), outlines():
        distiller = build_distiller(config.method, student, setting)
        refuse_idle_epochs(distiller, config)
        refuse_images(distiller, config)


@contextmanager
def _explained(method: MethodConfig) -> Iterator[None]:
    """A method of the user's may raise whatever it likes: that is an InputError too."""
    try:
        with theirs(f"method '{method.name}'" if METHODS.module(method.name) else ""):
            yield
    except InputError:
        raise
    except THEIRS as error:
        if not METHODS.module(method.name):
            raise
        raise InputError(f"method '{method.name}' cannot be built: {told(error)}") from error


def decides(config: dict[str, Any]) -> str:
    """What of a trial's config, as JSON, decides whether it can be built: equal ones need one look. Of a weight or a
    temperature that is only whether it is 0."""
    method, recipe = config["method"], config["recipe"]
    layered = [bool(recipe.get(name)) for name in ("drop_path", "layer_decay")] + ["lamb" in recipe["optimizer"]]
    of_recipe = [recipe["epochs"], recipe["compile"], _mixes(recipe), recipe.get("labelled_fraction", 1) < 1, layered]
    return canonical_json([config["model"], method["name"], _outline(method["params"]), *of_recipe])


def _mixes(recipe: dict[str, Any]) -> bool:
    """Of a recipe as JSON."""
    return any(recipe.get(name) for name in ("mixup", "cutmix"))


def _outline(value: Any) -> Any:
    """A value with 0 or 1 for each float in it."""
    if isinstance(value, dict):
        return {key: _outline(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_outline(item) for item in value]
    return float(value != 0) if isinstance(value, float) else value


def refuse_undecided(recipe: Recipe) -> None:
    """Raises InputError where nobody has decided yet whether the student is compiled."""
    if recipe.compile == "auto":
        raise InputError(
            "recipe.compile: auto is decided by a sweep before it begins, for a network and a recipe: it is no value to"
            " search, and a trial by itself takes true or false"
        )


def refuse_idle_epochs(distiller: Distiller, config: TrialConfig) -> None:
    """Raises InputError where every loss weight of an epoch is 0."""
    for epoch in telling_epochs(config):
        if not any(distiller.weights(epoch).values()):
            raise InputError(
                f"method '{config.method.name}': every loss weight is 0 in epoch {epoch}; nothing to learn"
            )


def _refuse_recipe(model: str, student: Network, recipe: Recipe, num_classes: int) -> None:
    """Raises InputError where the recipe asks of a network's layers what it does not have, or for an optimiser that is
    not installed."""
    if isinstance(recipe.optimizer, Lamb):
        lamb()
    if recipe.layer_decay is not None and not student.layer_depths():
        raise InputError(f"model '{model}' does not say which layers it has; leave out recipe.layer_decay")
    if recipe.drop_path > 0:
        with Undrawn():
            build(model, num_classes=num_classes, drop_path=recipe.drop_path)


def refuse_images(distiller: Distiller, config: TrialConfig) -> None:
    """Raises InputError where the recipe makes images, or their labels, into what the method cannot learn from."""
    refuse_mixed(distiller, config)
    refuse_unlabelled(distiller, config)


def refuse_unlabelled(distiller: Distiller, config: TrialConfig) -> None:
    """Raises InputError where images have no label, and the method reads each one's beside the cross-entropy."""
    fraction = config.recipe.labelled_fraction
    if fraction < 1 and distiller.reads_labels and distiller.teacher_needs != "nothing":
        raise InputError(
            f"method '{config.method.name}' reads the label of every image, and recipe.labelled_fraction {fraction:g}"
            " leaves the others without one; leave that out, or the method"
        )


def refuse_mixed(distiller: Distiller, config: TrialConfig) -> None:
    """Raises InputError where the recipe mixes images, and the method reads what a mixed image does not have."""
    if not config.recipe.mixes:
        return
    why = "takes every image to have one label" if distiller.reads_labels else ""
    if distiller.strong_view:
        why = "compares two views of one image"
    if distiller.remembers_images:
        why = "remembers every training image by itself"
    if why:
        raise InputError(
            f"method '{config.method.name}' {why}, and a mixed image is two; leave out recipe.mixup and recipe.cutmix,"
            " or the method"
        )


def telling_epochs(config: TrialConfig) -> list[int]:
    """Epochs that show every loss that is turned off: the first, the last, and those beside each whole number among the
    hyperparameters, since a method turns a loss on or off at an epoch that one of them names."""
    params = METHODS[config.method.name].Params.model_validate(config.method.params).model_dump()
    beside = {number + step for number in _whole_numbers(params) for step in (-1, 0, 1)}
    last = config.recipe.epochs
    return sorted({1, last} | {epoch for epoch in beside if 1 <= epoch <= last})


def _whole_numbers(value: Any) -> Iterator[int]:
    """Those in a value, and in the lists and mappings that it holds."""
    if isinstance(value, int) and not isinstance(value, bool):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _whole_numbers(item)


def _code(model: str) -> str:
    """The fingerprint of a network of the user's; empty for ours."""
    module = MODELS.module(model)
    return fingerprint(module) if module else ""


@lru_cache(maxsize=128)
def _blueprint(model: str, num_classes: int, image_size: tuple[int, int], code: str = "") -> Network:
    """A network of shapes alone, in evaluation mode, which takes images of that size (height, width).

    One of the user's, whose fingerprint is `code`, may raise whatever it likes: that is an InputError too.
    """
    try:
        with Undrawn():
            network = build(model, num_classes=num_classes).eval()
        with theirs(f"model '{model}'" if code else ""):
            # on the CPU: the meta device would take seconds to load what it runs networks with
            shapes(network, image_size)
    except InputError:
        raise
    except THEIRS as error:
        if not code and not isinstance(error, RuntimeError):
            raise
        height, width = image_size
        if code:
            raise InputError(
                f"model '{model}' fails with images of {height} × {width} pixels: {told(error)}"
            ) from error
        raise InputError(f"model '{model}' does not take images of {height} × {width} pixels: {error}") from error
    return network.to("meta")
