"""The plain functions take by default what their methods take, which the guide tells and another test holds it to."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from pkgutil import iter_modules
from typing import Any

import pytest

from trainers import distillers
from trainers.distillers import METHODS, binary_kl_loss, binary_kl_norm_loss

OTHERWISE = {("mse_loss", "temperature")}
"""DHKD's squared error has no temperature; by default it has that which changes nothing."""


def functions() -> Iterator[tuple[Callable[..., Any], dict[str, Any]]]:
    """The functions of each method's module and of its classes, with the defaults of its hyperparameters."""
    for found in iter_modules(distillers.__path__):
        module = importlib.import_module(f"trainers.distillers.{found.name}")
        params = [method.Params for _, method in METHODS.items() if method.__module__ == module.__name__]
        defaults = {name: field.default for one in reversed(params) for name, field in one.model_fields.items()}
        kinds = [found for _, found in inspect.getmembers(module, inspect.isclass)]
        for holder in (module, *kinds):
            for _, function in inspect.getmembers(holder, inspect.isfunction):
                if function.__module__ == module.__name__:
                    yield function, defaults


SHARED = [
    pytest.param(told.default, defaults[name], id=f"{function.__qualname__} {name}")
    for function, defaults in functions()
    for name, told in inspect.signature(function).parameters.items()
    if name in defaults and told.default is not told.empty and (function.__name__, name) not in OTHERWISE
]


def test_most_functions_share_their_methods_defaults() -> None:
    assert len(SHARED) > 60


@pytest.mark.parametrize(("ours", "of_method"), SHARED)
def test_a_function_s_default_is_its_method_s(ours: Any, of_method: Any) -> None:
    if isinstance(ours, tuple):  # temperatures, over which a term is summed
        ours, of_method = sorted(ours), sorted(of_method)
    assert ours == of_method


@pytest.mark.parametrize("function", [binary_kl_loss, binary_kl_norm_loss])
def test_dhkd_s_auxiliary_losses_have_its_temperature(function: Callable[..., Any]) -> None:
    default = inspect.signature(function).parameters["temperature"].default
    assert default == dict(METHODS.items())["dhkd"].Params.model_fields["temperature"].default
