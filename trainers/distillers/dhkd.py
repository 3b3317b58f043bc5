"""Dual-Head Knowledge Distillation (Yang et al., arXiv 2411.08937, KDD 2025).

::

    L = ce_weight * M(z_s) + alpha * BinaryKL-Norm(a, z_t)

    M = CE(z_s, y), or the whole loss of the method that `main` names, such as KD or GDKD
    BinaryKL-Norm = T²/B sum_b sum_c KL(Bernoulli(1/2) || Bernoulli(sigmoid((a - z_t) / T)))
                  = T²/B sum_b sum_c log cosh((a - z_t) / 2T)

z_s: logits of the main head, used at test time; a: logits of the auxiliary head on the same feature; z_t: the
teacher's. The sum over classes is not divided by C, so the term grows with the number of classes.

Where the authors' release differs: it clamps the sigmoid to [1e-8, 1 - 1e-8], which in float32 rounds to 1 at the top,
so from (a - z_t) of about 33 on (T = 2) its loss is infinite, and below -37 its gradient vanishes. The log-cosh form
(:mod:`trainers.distillers.binary_kl`) is exact everywhere. Its ImageNet script steps the optimiser twice per batch,
which is not imitated. `head: shared` (both losses on one head, the conflict of the paper's section 3), `aux_loss:
binary_kl` and `aux_loss: kl` (KD on the auxiliary head) are ablations of the paper which the release has no path for;
`aux_loss: mse`, plain regression of the logits, is ours, for comparison, and so is `main`: the paper's claim is that a
second head keeps any probability-level and any logit-level loss out of each other's way, so any method that reads
logits alone can take the cross-entropy's place on the main head.

Shapes: `B` batch, `C` classes.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from trainers.config import MethodConfig
from trainers.distillers.base import Batch, Distiller, LogitDistiller, Losses, MethodParams, Setting
from trainers.distillers.binary_kl import binary_kl_loss, binary_kl_norm_loss
from trainers.distillers.kd import kd_loss
from trainers.errors import InputError, unknown_name
from trainers.models import Network, auxiliary_head


def _main_method(value: Any) -> Any:
    """A name, or one name with its hyperparameters, as the method's config, complete with defaults."""
    from trainers.distillers.registry import METHODS

    if isinstance(value, MethodConfig):
        value = {value.name: value.params}
    elif isinstance(value, dict) and set(value) == {"name", "params"}:
        value = {value["name"]: value["params"]}
    name, params = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else (value, {})
    able = [known for known, method in METHODS.items() if issubclass(method, LogitDistiller) and method.stateless]
    if name not in able:
        raise ValueError(unknown_name("method for the main head", name, able))
    try:
        complete = METHODS[name].Params.model_validate(params or {})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors())
        raise ValueError(f"{name}: {problems}") from error
    return MethodConfig(name=name, params=complete.model_dump(mode="json"))


MainMethod = Annotated[MethodConfig, BeforeValidator(_main_method)]


class DHKDParams(MethodParams):
    """Hyperparameters of DHKD."""

    main: MainMethod = MethodConfig(name="scratch")
    """The method on the main head, with its hyperparameters: ``main: gdkd`` or ``main: {gdkd: {w2: 4}}``; `scratch` is
    the cross-entropy alone."""
    ce_weight: float = Field(1.0, ge=0)
    """Weight of the main head's whole loss, cross-entropy included (the paper's gamma)."""
    alpha: float = Field(1.0, ge=0)
    """Weight of the auxiliary loss; the authors' README uses 1 on CIFAR-100 and 0.1 on ImageNet."""
    temperature: float = Field(2.0, gt=0)
    """`T` of the auxiliary loss."""
    head: Literal["linear", "nonlinear", "shared"] = "linear"
    """The auxiliary head; `shared` puts both losses on the main head."""
    aux_loss: Literal["binary_kl_norm", "binary_kl", "kl", "mse"] = "binary_kl_norm"
    """The loss on the auxiliary head; `kl` is KD's; `mse` is the mean over batch and classes, without temperature."""
    align: bool = False
    """Gradient alignment: project the auxiliary gradient where it opposes the cross-entropy's."""
    hidden: int = Field(200, ge=1, le=65_536)
    """Units of the nonlinear head."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout probability of the nonlinear head."""
    init: Literal["main", "copy", "zeros"] = "main"
    """How the auxiliary head's last layer starts: drawn as the main head's is (`main`, the authors'), with the main
    head's very weights (`copy`, linear heads only), or at zero."""
    alpha_epochs: int | None = Field(None, ge=0)
    """Set alpha to 0 after so many epochs (50 in the authors' ImageNet script); null keeps it."""


def mse_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Mean squared difference of logits ``[B, C]``; `temperature` cancels: T² ((a - z_t) / T)² = (a - z_t)²."""
    return F.mse_loss(student_logits, teacher_logits.detach())


AUX_LOSSES = {"binary_kl_norm": binary_kl_norm_loss, "binary_kl": binary_kl_loss, "kl": kd_loss, "mse": mse_loss}


class DHKD(Distiller):
    """A probability-level loss on the main head, a logit-level loss on an auxiliary head that is dropped afterwards."""

    Params: ClassVar[type[MethodParams]] = DHKDParams
    summary: ClassVar[str] = "dual-head distillation: a logit-level loss on a second head (arXiv 2411.08937)"

    def __init__(self, params: DHKDParams, student: Network, setting: Setting, main: LogitDistiller) -> None:
        super().__init__(student, setting)
        self.params = params
        self._main = (main,)  # in a tuple, so that its student is not registered as a second one
        self.one_graph, self.reads_labels = main.one_graph, main.reads_labels
        self.aux_head: nn.Module | None = None
        if params.head != "shared":
            self.aux_head = auxiliary_head(
                params.head, student.feature_dim, setting.num_classes, hidden=params.hidden, dropout=params.dropout
            )
            self._start(self.aux_head)

    @classmethod
    def create(cls, params: Any, student: Network, setting: Setting) -> DHKD:
        """The method around `student`, with the method that `main` names on the main head and a fresh auxiliary head.

        Raises:
            InputError: for `init: copy` with a nonlinear head, and where the main method refuses the setting.
            TypeError: where the main method does not read logits alone, which its parameters do not let through.
        """
        from trainers.distillers.registry import build_distiller

        main = build_distiller(params.main, student, setting)
        if not isinstance(main, LogitDistiller):
            raise TypeError(f"{params.main.name} does not read logits alone")
        return cls(params, student, setting, main)

    def _start(self, head: nn.Module) -> None:
        """Initialise the auxiliary head as `params.init` says; the nonlinear one starts as torch left it otherwise."""
        last = [module for module in head.modules() if isinstance(module, nn.Linear)][-1]
        if self.params.init == "zeros":
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        elif self.params.init == "copy":
            if last is not head:
                raise InputError("init: copy takes the main head's weights, so it needs head: linear")
            last.load_state_dict(self.student.classifier.state_dict())
        elif last is head:
            self.student.init_head(last)

    def losses(self, batch: Batch) -> Losses:
        """`ce` and the main method's terms of the main head's logits, and the loss that `aux_loss` names, under that
        name, of the auxiliary head's (the main head's again with `head: shared`).

        Raises:
            TypeError: where the batch carries no teacher's pass.
        """
        passed = self.passed(batch.images)
        logits = passed.logits.float()
        aux_logits = logits if self.aux_head is None else self.aux_head(passed.pooled.float())
        teacher = batch.need_teacher().logits.float()
        aux = AUX_LOSSES[self.params.aux_loss](aux_logits, teacher, temperature=self.params.temperature)
        main = {"ce": batch.ce(logits), **self._main[0].terms(logits, teacher, batch.targets)}
        return Losses(logits, {**main, self.params.aux_loss: aux})

    def weights(self, epoch: int) -> dict[str, float]:
        """The main method's weights times `ce_weight`, and `alpha` for the auxiliary loss, 0 after `alpha_epochs`."""
        over = self.params.alpha_epochs is not None and epoch > self.params.alpha_epochs
        return self._main_weights(epoch) | {self.params.aux_loss: 0.0 if over else self.params.alpha}

    def _main_weights(self, epoch: int) -> dict[str, float]:
        return {name: self.params.ce_weight * weight for name, weight in self._main[0].weights(epoch).items()}

    @property
    def anchors(self) -> frozenset[str]:
        """With `align`, every term of the main head; else none."""
        return frozenset(self._main_weights(1)) if self.params.align else frozenset()
