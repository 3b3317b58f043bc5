"""What a user registers of his own: a method, a model, a data set, a recipe.

:mod:`trainers` itself offers the four decorators: ``from trainers import method, model, dataset, recipe``.
"""

from __future__ import annotations

from trainers.own.datasets import dataset
from trainers.own.keys import code_of
from trainers.own.methods import method
from trainers.own.models import model
from trainers.own.named_recipes import recipe

__all__ = ["code_of", "dataset", "method", "model", "recipe"]
