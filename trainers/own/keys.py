"""Which of a user's code a trial depends on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from trainers.code import fingerprint
from trainers.config import MethodConfig
from trainers.data import DATASETS
from trainers.distillers import METHODS
from trainers.errors import InputError
from trainers.models import MODELS
from trainers.registry import Registry


def code_of(dataset: str, models: Iterable[str], method: MethodConfig) -> dict[str, str]:
    """The fingerprints of the user's modules that a trial uses, by what they define (``method mykd``); empty where all
    is ours.

    Args:
        dataset: its name.
        models: the student's, and the teacher's where there is one.
        method: with its hyperparameters, one of which may be a method too (DHKD's `main`).

    A recipe is no part of it: its fields are in the key one by one.

    Raises:
        InputError: where such a module is neither under a spec's `code` nor an installed plug-in, so that its content
            is not known.
    """
    used: list[tuple[Registry[Any], str]] = [
        (DATASETS, dataset),
        *((MODELS, name) for name in models),
        *((METHODS, part.name) for part in methods_in(method)),
    ]
    modules = {f"{registry.what} {name}": registry.module(name) for registry, name in used}
    return {what: _known(what, module) for what, module in sorted(modules.items()) if module}


def _known(what: str, module: str) -> str:
    known = fingerprint(module)
    if not known:
        raise InputError(
            f"{what} is registered by the module {module}, which workers do not have; name it under `code`"
        )
    return known


def methods_in(method: MethodConfig) -> Iterator[MethodConfig]:
    """A method, and those that are among its hyperparameters (DHKD's `main`)."""
    yield method
    for value in method.params.values():
        if isinstance(value, dict) and value.keys() == {"name", "params"}:
            yield from methods_in(MethodConfig.model_validate(value))
