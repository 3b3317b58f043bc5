"""Named recipes. A spec names one and may override any field."""

from __future__ import annotations

from trainers.config import Recipe
from trainers.recipe_parts import AdamW, AdamWOptions, Lamb, LambOptions, RandAugment
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
    # DeiT (arXiv 2012.12877, table 9): vision transformers on ImageNet alone. Rates of the first step and the last are
    # those of its release, which lets the rate rise and fall once an epoch. Its repeated augmentation is left out.
    "deit": Recipe(
        epochs=300,
        batch_size=1024,
        optimizer=AdamW(adamw=AdamWOptions()),
        lr=1e-3,
        weight_decay=0.05,
        decay_norms_and_biases=False,
        schedule="cosine",
        warmup_epochs=5,
        warmup_start=1e-3,
        min_lr=1e-5,
        drop_path=0.1,
        label_smoothing=0.1,
        randaugment=RandAugment(magnitude=9, std=0.5),
        random_erasing=0.25,
        mixup=0.8,
        cutmix=1.0,
        val_fraction=0.04,
    ),
    # Procedure A3 of "ResNet strikes back" (arXiv 2110.00476, table 2), as timm's release has it: training images of
    # 160 pixels, which the data set's options say, and half precision are not among a recipe's fields.
    "timm-a3": Recipe(
        epochs=100,
        batch_size=2048,
        optimizer=Lamb(lamb=LambOptions()),
        lr=8e-3,
        weight_decay=0.02,
        decay_norms_and_biases=False,
        schedule="cosine",
        warmup_epochs=5,
        warmup_start=0.0125,
        min_lr=1e-6,
        label_loss="bce",
        randaugment=RandAugment(magnitude=6, std=0.5),
        mixup=0.1,
        cutmix=1.0,
        val_fraction=0.04,
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
