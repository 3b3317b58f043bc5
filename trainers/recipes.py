"""Named recipes. A spec names one and may override any field."""

from __future__ import annotations

from trainers.config import Recipe
from trainers.registry import Registry

RECIPES: Registry[Recipe] = Registry("recipe")
for _name, _recipe in {
    # CIFAR-100 as in CRD's and mdistiller's releases: the defaults of Recipe.
    "cifar": Recipe(),
    # The same for light students (MobileNetV2, ShuffleNet), which diverge at 0.05.
    "cifar-light": Recipe(lr=0.01),
    # ImageNet as in mdistiller's release: steps after epochs 30, 60 and 90, half the decay.
    "imagenet": Recipe(
        epochs=100, batch_size=512, lr=0.2, weight_decay=1e-4, milestones=(30, 60, 90), val_fraction=0.04
    ),
    # Handwritten digits, few-shot: small enough for a laptop, hard enough that methods differ.
    "digits": Recipe(
        epochs=60,
        batch_size=32,
        lr=0.05,
        schedule="cosine",
        warmup_epochs=2,
        pad=1,
        flip=False,
        val_fraction=0.25,
        samples_per_class=10,
    ),
}.items():
    RECIPES.add(_name, _recipe)
