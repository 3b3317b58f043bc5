"""What would fail in every trial is found when the plan is made."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest
import torch

from tests.support.own import MYKD, TINYNET, Folder
from trainers.check import check
from trainers.config import DatasetConfig, MethodConfig, TrialConfig
from trainers.data.sources.digits import Digits
from trainers.distillers import METHODS
from trainers.errors import InputError
from trainers.recipes import RECIPES

HEAD = "import torch\nfrom trainers import method, model\nfrom trainers.distillers import *\n"


DATA = Digits(image_size=8).load()


def check_of(model: str = "resnet8", method: str = "kd", params: dict[str, Any] | None = None) -> None:
    """As a plan looks at a trial."""
    complete = METHODS[method].Params.model_validate(params or {}).model_dump(mode="json")
    config = TrialConfig(
        dataset=DatasetConfig(name="digits"),
        model=model,
        method=MethodConfig(name=method, params=complete),
        recipe=RECIPES["digits"],
    )
    check(config, DATA, None if method == "scratch" else "resnet14")


def refused(folder: Folder, body: str, arguments: str = "", reads: str = "student, teacher", **more: Any) -> str:
    text = f"{HEAD}@method('own'{arguments})\ndef own({reads}):\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
    folder.load(one=text)
    with pytest.raises(InputError) as error:
        check_of(**({"method": "own"} | more))
    message = str(error.value)
    assert "\n" not in message
    assert f"{folder.path / 'one.py'}:" in message
    return message


BAD = {
    "a vector": ("return student.mean(1)", "returned a tensor float32 [4]; a loss is a scalar"),
    "one number in a vector": ("return student.mean(1)[:1]", "returned a tensor float32 [1]; a loss is a scalar"),
    "whole numbers": ("return student.argmax()", "returned a tensor int64 []; a loss is a scalar"),
    "a number": ("return 1.0", "returned float; a loss is a scalar tensor"),
    "nothing": ("student.mean()", "returned NoneType; a loss is a scalar tensor"),
    "a dictionary": ("return {'kd': student.mean()}", "returned dict; a loss is a scalar tensor"),
    "no graph": ("return student.detach().mean()", "returned a loss without a gradient"),
    "the teacher alone": ("return teacher.mean()", "returned a loss without a gradient"),
    "another device": ("return student.mean().to('meta')", "returned a tensor on meta, but trains on cpu"),
    "NaN": ("return student.mean() / 0 * 0", "returned nan for logits drawn from N(0, 1)"),
    "infinity": ("return student.mean().abs() / 0", "returned inf for logits drawn from N(0, 1)"),
    "the teacher in place": ("teacher.mul_(2)\nreturn student.mean()", "changes its argument 'teacher' in place"),
    "the student in place": ("student.mul_(2)\nreturn student.mean()", "changes its argument 'student' in place"),
    "an error": ("return student[99].mean()", "IndexError: index 99 is out of bounds"),
    "a backward pass of its own": (
        "loss = (student - teacher).pow(2).mean()\nloss.backward()\nreturn loss",
        "method 'own' fails: RuntimeError: Trying to backward through the graph a second time",
    ),
    "a gradient that cannot be": (
        "class Own(torch.autograd.Function):\n"
        "    @staticmethod\n    def forward(ctx, x): return x.mean()\n"
        "    @staticmethod\n    def backward(ctx, grad): raise KeyError('here')\n"
        "return Own.apply(student)",
        ":10: KeyError: 'here'",
    ),
    "the end of the process": ("raise SystemExit(0)", "SystemExit: 0"),
    "an interrupt of its own": ("import sys; sys.exit('no')", "SystemExit: no"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_loss_is_told_with_the_user_s_line(folder: Folder, case: str) -> None:
    body, told = BAD[case]
    assert told in refused(folder, body)


@pytest.mark.parametrize("body", ["import time; time.sleep(10**6)", "while True: pass"])
@pytest.mark.parametrize("reads", ["student, teacher", "student, teacher, epoch"])
def test_what_does_not_end_is_told_with_the_user_s_line(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, body: str, reads: str
) -> None:
    monkeypatch.setattr("trainers.code.limit.SECONDS", 0.3)
    message = refused(folder, body, reads=reads)
    assert message == f"method 'own' fails: {folder.path / 'one.py'}:6: OverdueError: did not end within 0.3 s"


@pytest.mark.parametrize("case", ["a vector", "NaN", "no graph", "the student in place", "an error"])
@pytest.mark.parametrize("reads", ["student, teacher, epoch", "student, teacher, index"])
def test_so_it_is_of_a_function_that_reads_more(folder: Folder, case: str, reads: str) -> None:
    body, told = BAD[case]
    assert told in refused(folder, body, reads=reads)


def test_so_it_is_of_a_strong_view(folder: Folder) -> None:
    reads = "student, teacher, strong_student, strong_teacher"
    assert "returned a tensor float32 [4]" in refused(
        folder, "return (strong_student - strong_teacher).mean(1)", ", strong_view=True", reads
    )


def test_so_it_is_of_features(folder: Folder) -> None:
    needs = ", teacher_needs='features'"
    assert "IndexError: tuple index out of range" in refused(folder, "return student.stages[99].mean()", needs)
    assert "returned a tensor float32 [4]" in refused(folder, "return student.logits.mean(1)", needs)
    for read in ("pooled", "stages[1]"):
        body = f"student.{read}.mul_(2)\nreturn student.{read}.mean()"
        assert "changes its argument 'student' in place" in refused(folder, body, needs)


def test_so_it_is_of_a_method_on_dhkd_s_main_head(folder: Folder) -> None:
    assert "returned a tensor float32 [4]" in refused(
        folder, "return student.mean(1)", method="dhkd", params={"main": "own"}
    )


def test_a_targets_error_is_found_with_labels_of_the_data_set(folder: Folder) -> None:
    body = "assert targets.max() < student.shape[1]\nreturn student[:, targets].mean()"
    folder.load(one=f"{HEAD}@method('own')\ndef own(student, targets):\n{textwrap.indent(body, '    ')}\n")
    check_of(method="own")


def test_a_class_that_cannot_be_built_is_told(folder: Folder) -> None:
    text = """
    class Params(MethodParams):
        scale: float = 2.0

    @method("own")
    class Own(LogitDistiller):
        Params = Params

        @classmethod
        def create(cls, params, student, setting):
            return 1 / 0

        def terms(self, student, teacher, targets):
            return {}

        def weights(self, epoch):
            return {"ce": 1.0}
    """
    folder.load(one=HEAD + textwrap.dedent(text))
    with pytest.raises(InputError, match=r"method 'own' cannot be built: .*one\.py:\d+: ZeroDivisionError"):
        check_of(method="own")
    folder.load(one=HEAD + textwrap.dedent(text).replace("return 1 / 0", "return cls(params, student, setting)"))
    check_of(method="own")


def test_weights_of_nothing_are_told(folder: Folder) -> None:
    folder.load(one=MYKD)
    with pytest.raises(InputError, match="method 'mykd': every loss weight is 0 in epoch 1; nothing to learn"):
        check_of(method="mykd", params={"ce_weight": 0.0, "weight": 0.0})


MODEL = "@model('net')\ndef net(num_classes):\n    return {built}\n"
MODELS = {
    "no network": ("len", "model 'net' built builtin_function_or_method, not an nn.Module"),
    "nothing that learns": ("torch.nn.Flatten()", "model 'net' has no parameter that could learn"),
    "no logits": ("torch.nn.Conv2d(3, num_classes, 3)", "not logits [1, 10]"),
    "other classes": (
        "torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 7))",
        "model 'net' gave [1, 7] for 1 images of 10 classes, not logits [1, 10]",
    ),
    "other images": (
        "torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(5, num_classes))",
        "model 'net' fails with",
    ),
    "lazy layers": (
        "torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(num_classes))",
        "model 'net' has lazy layers, which have no weights yet; give them their sizes",
    ),
    "an error": ("1 / 0", "ZeroDivisionError: division by zero"),
    "the end of the process": ("(_ for _ in ()).throw(SystemExit(0))", "SystemExit: 0"),
}


@pytest.mark.parametrize("case", MODELS)
def test_a_network_that_cannot_be_trained_is_told(folder: Folder, case: str) -> None:
    built, told = MODELS[case]
    folder.load(one=HEAD + MODEL.format(built=built))
    with pytest.raises(InputError) as error:
        check_of(model="net", method="scratch")
    assert told in str(error.value)


def test_a_network_s_pass_may_raise_anything_and_change_torch(folder: Folder) -> None:
    body = "import torch; torch.set_default_dtype(torch.float64); raise GeneratorExit"
    folder.load(one=TINYNET.replace("return self.fc(self.body(x))", body))
    with pytest.raises(InputError, match=r"model 'tinynet' fails with images of 8 × 8 pixels: .*: GeneratorExit"):
        check_of(model="tinynet", method="kd")
    assert torch.get_default_dtype() == torch.float32


def test_a_network_of_the_user_s_is_looked_at_anew_after_an_edit(folder: Folder) -> None:
    folder.load(one=TINYNET)
    check_of(model="tinynet", method="kd")
    folder.load(one=TINYNET.replace("nn.Linear(8,", "nn.Linear(9,"))
    with pytest.raises(InputError, match="model 'tinynet' fails with images of 8 × 8 pixels"):
        check_of(model="tinynet", method="kd")


def test_a_loss_of_features_hears_that_the_networks_are_of_other_widths(folder: Folder) -> None:
    body = "return (student.stages[-1] - teacher.stages[-1]).square().mean()"
    said = refused(folder, body, ", teacher_needs='features'", model="resnet8x4")
    assert "RuntimeError: The size of tensor a (256) must match the size of tensor b (64)" in said
    assert (
        "; the student's stages have [32, 64, 128, 256] channels, the teacher's [16, 16, 32, 64]: a class with" in said
    )
    folder.load(one=f"{HEAD}@method('own', teacher_needs='features')\ndef own(student, teacher):\n    {body}\n")
    check_of(method="own", model="resnet8")


def test_leaving_the_debugger_at_the_plans_call_is_no_failure_of_the_loss(folder: Folder) -> None:
    folder.load(one=f"import bdb\n{HEAD}@method('own')\ndef own(student, teacher):\n    raise bdb.BdbQuit\n")
    with pytest.raises(KeyboardInterrupt):
        check_of(method="own")
