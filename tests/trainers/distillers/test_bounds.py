"""The least and the largest value of every hyperparameter is taken, and what lies beyond is refused."""

from __future__ import annotations

from typing import Any

import pytest
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import ValidationError

from trainers.distillers import METHODS

Edges = tuple[list[Any], list[Any]]
"""What is taken, and what is refused."""

A_LITTLE = 1e-9
WEIGHT: Edges = ([0.0, 1e9], [-A_LITTLE])
DIVISOR: Edges = ([A_LITTLE, 1e9], [0.0])
COUNT: Edges = ([0, 1_000_000], [-1])
WIDTH: Edges = ([1, 65_536], [0, 65_537])
QUANTILE: Edges = ([0.0, 1.0], [-A_LITTLE, 1 + A_LITTLE])
SHARE: Edges = ([0.0, 1 - A_LITTLE], [-A_LITTLE, 1.0])
"""Of what must not be the whole."""
TEMPERATURES: Edges = ([(A_LITTLE,), (1,) * 100], [(), (2, 0.0), (1,) * 101])
BY_NAME: dict[str, Edges] = {
    **dict.fromkeys(("alpha", "beta", "gamma", "w0", "w1", "w2", "sharpen", "ab_alpha", "ab_beta"), WEIGHT),
    **dict.fromkeys(
        ("temperature", "confidence_temperature", "least", "span", "eps", "init_variance", "regularization"), DIVISOR
    ),
    **dict.fromkeys(
        ("warmup_epochs", "alpha_epochs", "curriculum_epochs", "start", "decay_start", "hint_stage"), COUNT
    ),
    **dict.fromkeys(("hidden", "dim", "mid_channels"), WIDTH),
    **dict.fromkeys(("conf", "class_conf", "mix", "weak_threshold", "strong_threshold"), QUANTILE),
    **dict.fromkeys(("dropout", "momentum"), SHARE),
    "temperatures": TEMPERATURES,
}
OF_ITS_OWN: dict[tuple[str, str], Edges] = {
    ("at", "p"): ([1, 100], [0, 101]),
    ("catkd", "resolution"): ([1, 1024], [0, 1025]),
    ("crd", "negatives"): ([1, 10_000_000], [0, 10_000_001]),
    ("dho", "alpha"): QUANTILE,
    ("dho", "beta"): DIVISOR,
    ("gdkd", "k"): ([1, 1000], [0]),
    ("gdkd3", "k"): ([2, 1000], [1]),
    ("sdd", "disagreement"): WEIGHT,
    ("ldrld", "k"): ([1, 1000], [0]),
    ("lr_revision", "eta"): QUANTILE,
    ("simkd", "factor"): ([1, 1000], [0]),
    ("tekap", "draws"): ([1, 100], [0, 101]),
    ("ttm", "gamma"): ([A_LITTLE, 1.0], [0.0, 1 + A_LITTLE]),
    ("vid", "init_variance"): ([1.1e-5, 1e9], [0.0, 1e-5]),  # more than eps
    ("vid", "eps"): ([A_LITTLE, 4.9], [0.0, 5.0]),  # less than init_variance
    ("wkd", "decay_end"): ([1, 1_000_000], [0]),
    ("wkd", "rounds"): ([1, 1000], [0, 1001]),
    ("wttm", "gamma"): ([A_LITTLE, 1.0], [0.0, 1 + A_LITTLE]),
}
BOUNDED = [
    pytest.param(method, name, id=f"{method} {name}")
    for method, distiller in METHODS.items()
    for name, field in distiller.Params.model_fields.items()
    if any(isinstance(one, Ge | Gt | Le | Lt | MinLen | MaxLen) for one in field.metadata)
]


@pytest.mark.parametrize(("method", "name"), BOUNDED)
def test_a_hyperparameter_is_taken_up_to_its_bounds_and_not_beyond(method: str, name: str) -> None:
    of_name = WEIGHT if name.endswith("_weight") else BY_NAME.get(name, ([], []))
    taken, refused = OF_ITS_OWN.get((method, name), of_name)
    assert refused, "its bounds are told in no table above"
    params = METHODS[method].Params
    for value in taken:
        assert getattr(params.model_validate({name: value}), name) == value
    for value in refused:
        with pytest.raises(ValidationError, match=name):
            params.model_validate({name: value})
