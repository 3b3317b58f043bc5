"""What a network must hold, to be a student or a teacher.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from trainers.contract.case import IMAGES, Case
from trainers.contract.requirement import Remark, Requirement
from trainers.contract.training import moves, resumes
from trainers.errors import InputError
from trainers.fit import seeded_model
from trainers.models import Network


@dataclass(frozen=True)
class ModelCase:
    """A network over sixteen images of noise."""

    name: str
    classes: int = 10
    """`C`."""
    size: int = 32
    """Height and width of the images, in pixels."""

    def network(self, seed: int = 0) -> Network:
        """The network, as it starts in a trial of that seed."""
        return seeded_model(self.name, self.classes, seed)

    @cached_property
    def images(self) -> Tensor:
        """Float ``[B, 3, size, size]``."""
        return torch.randn(IMAGES, 3, self.size, self.size, generator=torch.Generator().manual_seed(1))


def gives_logits(case: ModelCase) -> str | None:
    """It gives finite float32 logits ``[B, C]``, in training and in evaluation mode, and leaves the images alone."""
    before = case.images.clone()
    for mode, network in (("training", case.network().train()), ("evaluation", case.network().eval())):
        logits = network.features(case.images).logits
        if logits.shape != (IMAGES, case.classes) or not logits.is_floating_point():
            return f"in {mode} mode it gives {list(logits.shape)}, not logits [{IMAGES}, {case.classes}]"
        if not logits.isfinite().all():
            return f"in {mode} mode its logits are not finite"
    return None if torch.equal(case.images, before) else "it changes the images in place; work on a copy"


@torch.no_grad()
def same_start(case: ModelCase) -> str | None:
    """A seed decides its first weights, and its state dict holds all of what it knows."""
    one, other = case.network().eval(), case.network().eval()
    if not torch.equal(one(case.images), other(case.images)):
        return "two networks of one seed differ; draw weights from torch's generator alone"
    third = case.network(seed=1).eval()
    third.load_state_dict(one.state_dict())
    if not torch.equal(third(case.images), one(case.images)):
        return "its state dict does not hold all of it: loaded into another, it gives other logits; use register_buffer"
    return None


@torch.no_grad()
def each_image_alone(case: ModelCase) -> str | None:
    """In evaluation mode an image's logits repeat, whatever else is in the batch."""
    network = case.network().eval()
    whole = network(case.images)
    if not torch.equal(whole, network(case.images)):
        return "its logits differ from call to call in evaluation mode; ask `self.training` before drawing"
    parts = torch.cat([network(part) for part in case.images.chunk(4)])
    if not torch.allclose(parts, whole, rtol=1e-3, atol=1e-4):
        return "in evaluation mode an image's logits depend on the images beside it"
    return None


def learns(case: ModelCase) -> str | None:
    """Every learned parameter gets a finite gradient; a remark where one gets none."""
    network = case.network().train()
    loss = F.cross_entropy(network(case.images).float(), torch.arange(IMAGES) % case.classes)
    loss.backward()  # type: ignore[no-untyped-call]
    unused = []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad and parameter.grad is None:
            unused.append(name)
        elif parameter.grad is not None and not parameter.grad.isfinite().all():
            return f"the gradient of {name} is not finite"
    return Remark(f"no gradient reaches {', '.join(unused[:3])}") if unused else None


def in_bf16(case: ModelCase) -> str | None:
    """Its logits are finite where it runs in bf16."""
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = case.network().train()(case.images)
    return None if logits.isfinite().all() else "its logits are not finite where it runs in bf16"


def a_step(case: ModelCase) -> str | None:
    """A step of KD in the training loop moves its first layer."""
    return moves(Case("kd", classes=case.classes), case.name, case.size)


def resumed(case: ModelCase) -> str | None:
    """A trial with it that is broken off and goes on equals one that is not, bit for bit."""
    return resumes(Case("kd", classes=case.classes), case.name, case.size)


def read_by(case: ModelCase) -> str | None:
    """What methods can read of it: a remark where that is the logits alone."""
    network = case.network().eval()
    try:
        head = network.classifier
    except InputError:
        return Remark("no last linear layer was found: it goes with methods that read logits alone")
    if network.features(case.images).pooled.shape != (IMAGES, head.in_features):
        return Remark("its last linear layer reads no vector an image: it goes with methods that read logits alone")
    return (
        None if network.stage_channels else Remark("it shows no inner maps: methods that compare maps do not take it")
    )


MODEL: tuple[Requirement[ModelCase], ...] = (
    Requirement("logits of its images", gives_logits, gate=True),
    Requirement("a seed and a state dict that say all", same_start),
    Requirement("each image by itself", each_image_alone),
    Requirement("a gradient to all that learns", learns),
    Requirement("bf16", in_bf16),
    Requirement("a step of training", a_step),
    Requirement("resumes bit for bit", resumed),
    Requirement("what methods can read", read_by),
)
"""What a model must hold."""
