"""What a trial is, in full: typed, frozen, and hashable by content.

A :class:`TrialConfig` names everything that decides a trial's numbers. Its :attr:`~TrialConfig.key` is the hash of
that content, so the same trial has the same key in every sweep, on every machine.

It also has the same key in every release. What has a result is never trained again because a release knows one more
field: the fields that were part of every key when results were first kept always are, and one that came later is part
of a key where it has another value than the one that stands for how it was before (:class:`Keyed`,
:data:`LATER_PARAMS`, :data:`LATER_OPTIONS`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from trainers.frozen import Frozen as Frozen
from trainers.recipe_parts import EMA, Optimizer, Whether
from trainers.recipe_parts import RandAugment as RandAugment
from trainers.storage.content import content_key

Share = Annotated[float, Field(ge=0, le=1)]
Deviation = Annotated[float, Field(ge=1 / 255, le=1)]
"""No less than one step of a pixel, by which images are still divided into numbers that a network can take."""


def _of_each_channel(value: Any) -> Any:
    """One number stands for all three channels."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (value,) * 3
    return tuple(value) if isinstance(value, list) else value


class Normalisation(Frozen):
    """What a network's images are normalised by: mean and standard deviation of pixels that are scaled to [0, 1]."""

    mean: Annotated[tuple[Share, Share, Share], BeforeValidator(_of_each_channel)]
    """Of the red, green and blue channel, or one number for all."""
    std: Annotated[tuple[Deviation, Deviation, Deviation], BeforeValidator(_of_each_channel)]
    """Of the same."""

    def __str__(self) -> str:
        mean, std = (", ".join(f"{number:g}" for number in numbers) for numbers in (self.mean, self.std))
        return f"mean {mean}, std {std}"


LATER_PARAMS: dict[str, dict[str, Any]] = {}
"""By method: each hyperparameter that came later, with the value (as JSON) at which it is no part of a key. That value
is the one that trains as the method did without it, and stays, also where the default becomes another one."""
LATER_OPTIONS: dict[str, dict[str, Any]] = {
    "parquet": {"split_column": None, "test_fraction": None},
    "folder": {"test_fraction": None},
    "imagenet": {"test_fraction": None},
}
"""The same of data sets' options."""


class Keyed(Frozen):
    """A part of a trial's key."""

    always: ClassVar[frozenset[str]]
    """The fields that are part of every key. Another one came later, and is no part of a key at its default, which must
    be the value that trains as before it came, and can never be changed."""

    def key_content(self) -> dict[str, Any]:
        """What a key is made of, as JSON."""
        return self._keyed(self.model_dump(mode="json"))

    def _keyed(self, dumped: dict[str, Any]) -> dict[str, Any]:
        """What of this part, as JSON, belongs in a key; `dumped` is changed."""
        for name, default in _later(type(self)).items():
            if getattr(self, name) == default:
                del dumped[name]
        return dumped


@cache
def _later(part: type[Keyed]) -> dict[str, Any]:
    """The fields that came later, with their defaults."""
    later = {name: field for name, field in part.model_fields.items() if name not in part.always}
    return {name: field.get_default(call_default_factory=True) for name, field in later.items()}


def _without(content: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Content without the fields that came later and have the value that they stand for."""
    return {name: value for name, value in content.items() if name not in later or value != later[name]}


def _keyed_params(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """A method's hyperparameters as they are part of a key; one may be a method with its own (DHKD's `main`)."""
    kept = _without(params, LATER_PARAMS.get(method, {}))
    return {name: _keyed_method(value) for name, value in kept.items()}


def _keyed_method(value: Any) -> Any:
    if not (isinstance(value, dict) and value.keys() == {"name", "params"}):
        return value
    return {"name": value["name"], "params": _keyed_params(value["name"], value["params"])}


class Recipe(Keyed):
    """Everything about training that is not the method.

    The defaults are the shared CIFAR-100 recipe of the field (CRD's and mdistiller's releases): 240 epochs of SGD,
    batch 64, learning rate 0.05 divided by ten after epochs 150, 180 and 210, weight decay on all parameters.
    """

    always: ClassVar[frozenset[str]] = frozenset(
        [
            "epochs",
            "batch_size",
            "lr",
            "momentum",
            "nesterov",
            "weight_decay",
            "schedule",
            "milestones",
            "lr_decay",
            "warmup_epochs",
            "views",
            "pad",
            "flip",
            "cutout",
            "randaugment_ops",
            "strong_cutout",
            "precision",
            "teacher_logits",
            "compile",
            "sync_batch_norm",
            "val_fraction",
            "samples_per_class",
            "test_per_class",
            "diagnostics",
            "diagnostics_every",
            "split_seed",
        ]
    )

    epochs: int = Field(240, ge=1, le=100_000)
    """Passes over the training subset."""
    batch_size: int = Field(64, ge=2, le=1_000_000)
    """Images per step. A last batch of one image joins the batch before it: BatchNorm needs two."""
    lr: float = Field(0.05, gt=0)
    """Learning rate after warm-up; light networks (MobileNetV2, ShuffleNet) use 0.01 by custom."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of SGD; other optimisers take no notice."""
    nesterov: bool = False
    """Nesterov's form of SGD's momentum; the field does not use it."""
    weight_decay: float = Field(5e-4, ge=0)
    """Decay of the weights, on all parameters unless `decay_norms_and_biases` is false: of SGD as a part of the
    gradient (L2), of the others apart from it."""
    schedule: Literal["step", "cosine", "constant"] = "step"
    """`step`: times `lr_decay` after each milestone; `cosine`: to `min_lr` over all epochs after warm-up, per step."""
    milestones: tuple[int, ...] = (150, 180, 210)
    """For `step`: the last epoch (counted from 1) before each drop."""
    lr_decay: float = Field(0.1, gt=0, lt=1)
    """For `step`: the factor of each drop."""
    warmup_epochs: int = Field(0, ge=0, le=100_000)
    """Linear warm-up of the learning rate, per step, over so many epochs, from zero or `warmup_start`."""
    views: Literal["none", "weak", "autoaugment"] = "weak"
    """What the student sees of an image: `none` as it is; `weak` random crop after padding, and flip; `autoaugment`
    these, then AutoAugment's CIFAR-10 policy (arXiv 1805.09501) and Cutout, as GDKD's release trains its teachers."""
    pad: int = Field(4, ge=0, le=1024)
    """Unless views are `none`: zero pixels added on each side before the crop back to the image's size."""
    flip: bool = True
    """Unless views are `none`: horizontal flip with probability one half."""
    cutout: int = Field(16, ge=0, le=2048)
    """For `autoaugment`: side in pixels of the black square of Cutout (arXiv 1708.04552), taken as even; 0 for none."""
    randaugment_ops: int = Field(2, ge=0, le=100)
    """For methods with a strong view (SLD, MLKD): operations drawn for each image, as in their releases."""
    strong_cutout: float = Field(0.5, ge=0, le=1)
    """For methods with a strong view: largest side of its grey square, as a share of the width; 0 for none."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """`bf16` runs the forward passes, the teacher's too, in bfloat16; losses, weights and optimiser stay in fp32."""
    teacher_logits: Literal["fp16", "fp32"] = "fp16"
    """What the teacher's logits are rounded to before a method reads them: at most 1 part in 2000 of each, in `fp16`,
    for half of the logit bank's bytes. Methods that read the teacher's maps take no notice."""
    compile: Whether = False
    """Train a compiled student (`torch.compile`); `auto`: where a sweep measures, before it begins, that it pays."""
    sync_batch_norm: bool = True
    """Where several workers train one trial: batch norms see the whole batch, as one worker's would, not each share."""
    val_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of each class of the training set held out for validation; 0 trains on all of it (`protocol: paper`)."""
    samples_per_class: int | None = Field(None, ge=1)
    """Few-shot: train on so many images of each class, taken after the validation split; null for all."""
    test_per_class: int | None = Field(None, ge=1)
    """Measure test accuracy on so many images of each class (drawn once, for quick trials); null for all."""
    diagnostics: bool = False
    """Measure neural collapse, conflict of gradients and fidelity to the teacher; it changes no other number."""
    diagnostics_every: int = Field(1, ge=1)
    """With `diagnostics`: after every so many epochs, and after the last."""
    split_seed: int = Field(0, ge=0)
    """Seed of the validation split, of the few-shot subset and of which images keep their labels, the same for all
    trials of a cell."""

    tf32: bool = False
    """On a GPU: convolutions and matrix products of `fp32` round what they read to TF32, 10 bits of mantissa, which is
    faster. A CPU, and `bf16`, take no notice."""
    deterministic: bool = False
    """On a GPU: take algorithms whose numbers repeat, which are slower; a trial fails where torch has none. A CPU takes
    no notice."""
    optimizer: Optimizer = "sgd"
    """`sgd`; `adamw`, which may have options, ``{adamw: {betas: [0.9, 0.999], eps: 1e-8}}``; or `lamb`, which may have
    the same and is timm's."""
    decay_norms_and_biases: bool = True
    """`false`: `weight_decay` spares biases, the weights of norms, and what a network of timm's names besides (position
    embeddings, class tokens)."""
    warmup_start: float | None = Field(None, ge=0, le=1)
    """Share of `lr` with which the first step of the warm-up is taken; `lr` itself then comes with the first step after
    it, as torch's and timm's schedules have it. null: from zero, which no step has, to `lr` with the warm-up's last."""
    min_lr: float = Field(0.0, ge=0)
    """For `cosine`: what the learning rate falls to."""
    label_loss: Literal["ce", "bce"] = "ce"
    """The loss with the labels: cross-entropy, or binary cross-entropy of each class by itself, mean over the classes,
    where a class that is more than 0.2 of a mixed or smoothed label is there (arXiv 2110.00476)."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of each label that is spread evenly over all classes (arXiv 1512.00567), in the cross-entropy with the
    labels alone."""
    clip_norm: float | None = Field(None, gt=0)
    """Largest norm of the gradient over all parameters together: a longer one is scaled down; null leaves it."""
    drop_path: float = Field(0.0, ge=0, lt=1)
    """Stochastic depth (arXiv 1603.09382) of one of timm's networks: probability with which an image skips the last
    block in training; of earlier blocks it rises to that from 0."""
    layer_decay: float | None = Field(None, gt=0, le=1)
    """Of one of timm's networks: the learning rate of each layer is so many times that of the layer behind it, whose
    last is the classifier's, `lr` itself (arXiv 2003.10555, as timm counts layers); null for one rate."""
    ema: EMA | None = None
    """Keep an exponential moving average of the student, which is evaluated and exported in its place unless `predicts`
    is false: ``{decay: 0.9999, predicts: true}``; null keeps none."""
    randaugment: RandAugment | None = None
    """For the training view, after crop and flip: ``{magnitude: 9, std: 0.5, operations: 2}``; null for none."""
    random_erasing: float = Field(0.0, ge=0, le=1)
    """Probability that a box of the training view is filled with noise (arXiv 1708.04896)."""
    mixup: float = Field(0.0, ge=0, le=100)
    """alpha of mixup (arXiv 1710.09412): the share of an image in its mixture is drawn from Beta(alpha, alpha); 0 for
    none. With `cutmix` as well each image gets one of the two, at even odds."""
    cutmix: float = Field(0.0, ge=0, le=100)
    """alpha of CutMix (arXiv 1905.04899): the share of an image that is not another's box; 0 for none."""
    labelled_fraction: float = Field(1.0, gt=0, le=1)
    """Share of each class of the training images that keep their label: the loss with the labels counts these alone, a
    method's own terms all images; methods without a teacher train on these alone."""

    @model_validator(mode="after")
    def _milestones_rise(self) -> Recipe:
        if list(self.milestones) != sorted(set(self.milestones)) or any(m < 1 for m in self.milestones):
            raise ValueError(f"milestones must be rising epochs from 1 on, found {list(self.milestones)}")
        if self.warmup_epochs >= self.epochs and self.warmup_epochs > 0:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs}) must be fewer than epochs ({self.epochs})")
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr ({self.min_lr:g}) must not be above lr ({self.lr:g})")
        if self.label_smoothing > 0 and self.label_loss == "bce":
            raise ValueError(
                "label_loss 'bce' takes a class as there or not, so label_smoothing says nothing; set it to 0"
            )
        if self.randaugment is not None and self.views == "autoaugment":
            raise ValueError("views 'autoaugment' and randaugment are two policies for one view; choose one")
        if self.labelled_fraction < 1 and self.mixes:
            raise ValueError(
                f"labelled_fraction {self.labelled_fraction:g} leaves images without a label, and one that is mixed"
                " with such an image has none either; set mixup and cutmix to 0"
            )
        return self

    @property
    def mixes(self) -> bool:
        """Whether images are mixed with one another."""
        return self.mixup > 0 or self.cutmix > 0


class DatasetConfig(Keyed):
    """A data set by name, with its source's options."""

    always: ClassVar[frozenset[str]] = frozenset({"name", "options", "content"})

    name: str
    """Name in the registry of :mod:`trainers.data`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The source's own fields that say what the data are, complete with defaults; where they lie is not among them."""
    content: str = ""
    """Hash of the images and labels that were found, so that other data under the same name is another trial."""

    def _keyed(self, dumped: dict[str, Any]) -> dict[str, Any]:
        if self.name in LATER_OPTIONS:
            dumped["options"] = _without(dumped["options"], LATER_OPTIONS[self.name])
        return super()._keyed(dumped)


class TeacherConfig(Keyed):
    """A trained teacher: architecture and the content hash of its weights."""

    always: ClassVar[frozenset[str]] = frozenset({"architecture", "hash"})

    architecture: str
    hash: str


class MethodConfig(Keyed):
    """A distillation method by name, with all its hyperparameters."""

    always: ClassVar[frozenset[str]] = frozenset({"name", "params"})

    name: str
    """Name in the registry of :mod:`trainers.distillers`."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Every field of the method's config, complete with defaults."""

    def _keyed(self, dumped: dict[str, Any]) -> dict[str, Any]:
        if LATER_PARAMS:  # whichever method's: one may be a part of another
            dumped["params"] = _keyed_params(self.name, dumped["params"])
        return super()._keyed(dumped)


class TrialConfig(Keyed):
    """A config with a seed: all that decides a trial's numbers, and nothing else."""

    always: ClassVar[frozenset[str]] = frozenset({"dataset", "model", "teacher", "method", "recipe", "seed"})

    dataset: DatasetConfig
    model: str
    """Architecture that is trained: the student, or the teacher where a teacher is trained."""
    teacher: TeacherConfig | None = None
    """None for `scratch`, which has no teacher."""
    method: MethodConfig
    recipe: Recipe
    seed: int = Field(0, ge=0)
    """Decides initialisation, data order, views and dropout; equal seeds are paired across methods."""
    code: dict[str, str] = Field(default_factory=dict)
    """Fingerprints of the user's modules that it uses, by what they define (:func:`trainers.own.code_of`)."""

    def _keyed(self, dumped: dict[str, Any]) -> dict[str, Any]:
        parts = {"dataset": self.dataset, "teacher": self.teacher, "method": self.method, "recipe": self.recipe}
        for name, part in parts.items():
            if part is not None:
                dumped[name] = part._keyed(dumped[name])
        return super()._keyed(dumped)

    @cached_property
    def key(self) -> str:
        """The trial's name: hash of its canonical content."""
        return content_key(self.key_content())


def content_of_another_release(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a key is made of, of a trial's config as JSON that this release cannot read, since another has written it:
    all but the fields that came later and have the value that they stand for."""
    content = _without(config, _later(TrialConfig))
    return content | {"recipe": _without(content.get("recipe", {}), _later(Recipe))}
