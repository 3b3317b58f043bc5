"""Code in this process: imported, registered, replaced, forgotten."""

from __future__ import annotations

import inspect
import sys
import warnings
from pathlib import Path

import pytest
import torch

from tests.support.own import METHOD, MYKD, Folder
from trainers import registry
from trainers.code import NO_CODE, current, fingerprint, load, loaded, unload
from trainers.data import DATASETS
from trainers.distillers import METHODS
from trainers.errors import InputError
from trainers.models import MODELS
from trainers.recipes import RECIPES

ALL = """
from trainers import method, model, dataset, recipe
from torch import nn
import numpy as np

@method("own_method")
def loss(student):
    return student.mean()

@model("own_model")
class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.fc = nn.Linear(3, num_classes)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))

@dataset("own_data")
def data():
    part = np.zeros((4, 8, 8), np.uint8), [0, 1, 0, 1]
    return part, part

recipe("own_recipe", base="digits", epochs=7)
"""


def names() -> set[str]:
    return {name for kind in (METHODS, MODELS, DATASETS, RECIPES) for name in kind}


def refused(folder: Folder, **files: str) -> str:
    with pytest.raises(InputError) as error:
        folder.load(**files)
    assert (registry.modules(), current()) == (set(), NO_CODE)
    assert not {name for name in files if name in sys.modules}
    message = str(error.value)
    assert "\n" not in message
    return message


def test_all_four_kinds_are_registered_and_forgotten(folder: Folder) -> None:
    before = names()
    folder.load(mine=ALL)
    assert names() - before == {"own_method", "own_model", "own_data", "own_recipe"}
    assert registry.modules() == {"mine"}
    assert RECIPES["own_recipe"].epochs == 7
    unload()
    assert names() == before
    assert (current(), "mine" in sys.modules, registry.modules()) == (NO_CODE, False, set())


def test_another_code_takes_the_place_of_what_was_loaded(folder: Folder) -> None:
    first = folder.load(one=METHOD.format(name="first"))
    (folder.path / "one.py").unlink()
    folder.load(two=METHOD.format(name="second"))
    assert "second" in METHODS
    assert "first" not in METHODS
    load(first)
    assert "first" in METHODS
    assert "second" not in METHODS


def test_the_same_file_edited_is_loaded_again(folder: Folder) -> None:
    folder.load(one=MYKD)
    before, old = fingerprint("one"), METHODS["mykd"]
    folder.load(one=MYKD.replace("beta: float = 2.0", "beta: float = 3.0"))
    assert fingerprint("one") != before
    assert (old.Params().beta, METHODS["mykd"].Params().beta) == (2.0, 3.0)


def test_the_same_code_is_not_run_again(folder: Folder) -> None:
    folder.load(one=MYKD)
    module = sys.modules["one"]
    folder.load(one=MYKD)
    assert sys.modules["one"] is module


def test_after_a_failure_in_between_the_next_is_loaded_as_if_nothing_had_been(folder: Folder) -> None:
    folder.load(one=MYKD)
    assert "ZeroDivisionError" in refused(folder, one=f"{MYKD}\n1 / 0")
    folder.load(one=MYKD)
    assert "mykd" in METHODS


def test_a_module_that_somebody_has_imported_before_is_read_anew(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's test imports his file, then a spec that names it is loaded: what the file says now is what counts."""
    folder.write(imported_before=MYKD)
    monkeypatch.syspath_prepend(str(folder.path))
    module = __import__("imported_before")
    assert METHODS["mykd"].Params().beta == 2.0
    folder.load(imported_before=MYKD.replace("beta: float = 2.0", "beta: float = 3.0"))
    assert METHODS["mykd"].Params().beta == 3.0
    assert sys.modules["imported_before"] is not module


def test_a_module_knows_its_file(folder: Folder) -> None:
    code = folder.load(one=f"from pathlib import Path\nHERE = Path(__file__).parent\n{MYKD}")
    module = sys.modules["one"]
    assert folder.path == module.HERE
    assert inspect.getsource(module.mykd).startswith('@method("mykd")')
    unload()
    from trainers.code import Code

    load(Code.from_json(code.to_json()))  # on another machine
    assert Path() == sys.modules["one"].HERE
    assert inspect.getsource(sys.modules["one"].mykd).startswith('@method("mykd")')


def test_modules_of_a_package_import_each_other(folder: Folder) -> None:
    folder.write(paper__="from .losses import mykd", paper__losses=f"from .helpers import SCALE\n{MYKD}")
    folder.load(paper__helpers="from paper import losses\nSCALE = 2\n")  # in a circle
    assert "mykd" in METHODS
    assert METHODS.module("mykd") == "paper.losses"


def test_a_circle_that_cannot_be_imported_is_told(folder: Folder) -> None:
    message = refused(folder, a="from b import x\ny = 1", b="from a import y\nx = 1")
    assert "b.py:1: ImportError: cannot import name 'y'" in message


def test_of_a_folder_only_what_takes_part_is_run(folder: Folder) -> None:
    folder.load(paper__="", paper__losses=MYKD, paper__test_losses="import losses_of_nobody", paper__train="1 / 0")
    assert "mykd" in METHODS
    assert "paper.train" not in sys.modules


@pytest.mark.parametrize("test", ["test_losses", "losses_test", "conftest"])
def test_a_test_that_imports_ours_is_not_run_with_its_package(folder: Folder, test: str) -> None:
    uses = "from trainers.contract import METHOD, Case\nimport losses_of_nobody"
    folder.load(paper__="", paper__losses=MYKD, **{f"paper__{test}": uses})
    assert "mykd" in METHODS
    assert f"paper.{test}" not in sys.modules


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import not_installed_anywhere", "one.py:1: ModuleNotFoundError: No module named 'not_installed_anywhere'"),
        ("x = 1\n1 / 0", "one.py:2: ZeroDivisionError: division by zero"),
        ("raise SystemExit('done')", "one.py:1: SystemExit: done"),
        ("import sys\nsys.exit(0)", "one.py:2: SystemExit: 0"),
        ("raise ValueError('a\\nb')", "one.py:1: ValueError: a"),
        ("raise ValueError", "one.py:1: ValueError"),
        ("def f():\n    1 / 0\n\nf()", "one.py:2: ZeroDivisionError"),
        ("exec('x =')", "SyntaxError"),
    ],
)
def test_an_import_that_fails_is_told_with_file_and_line(folder: Folder, text: str, told: str) -> None:
    message = refused(folder, one=text)
    assert message.startswith("cannot import one: ")
    assert told in message


def test_a_failing_import_of_a_neighbour_is_told_with_the_neighbour_s_line(folder: Folder) -> None:
    assert "helpers.py:2: ZeroDivisionError" in refused(folder, one="import helpers", helpers="\n1 / 0")


def test_a_file_that_registers_nothing(folder: Folder) -> None:
    assert refused(folder, one="x = 1") == (
        f'{folder.path / "one.py"} registers nothing: decorate a function with @method("name"), say'
    )
    assert "helpers.py registers nothing" in refused(folder, one=MYKD, helpers="x = 1")


def test_a_file_that_one_that_registers_imports_need_not(folder: Folder) -> None:
    folder.load(one=f"import helpers\n{MYKD}", helpers="x = 1")
    assert current().reached("one") == {"one", "helpers"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (METHOD.format(name="kd"), "method 'kd' is registered already; give yours another name"),
        (METHOD.format(name="own") * 2, "method 'own' is registered already in one; give yours another name"),
        ("from trainers import recipe\nrecipe('cifar')", "recipe 'cifar' is registered already"),
        ("from trainers import model\nmodel('resnet8')(print)", "model 'resnet8' is registered already"),
        ("from trainers import dataset\n@dataset('digits')\ndef f(): ...", "data set 'digits' is registered already"),
        (METHOD.format(name="own").replace("'own'", "'my kd'"), "'my kd' is no name for a method"),
        (METHOD.format(name="own").replace("'own'", "'a:b'"), "'a:b' is no name for a method"),
        ("from trainers import model\nmodel(3)(print)", "3 is no name for a model"),
    ],
)
def test_a_name_that_is_taken_or_none(folder: Folder, text: str, told: str) -> None:
    message = refused(folder, one=text)
    assert told in message
    assert f"{folder.path / 'one.py'}:" in message


def test_what_is_registered_for_others_to_define_is_the_importing_module_s(folder: Folder) -> None:
    """Of torchvision's networks, say: the line that registers it is all there is of the user's."""
    folder.load(
        one="import functools\nfrom trainers import method, model\nfrom helpers import plain, register_twice\n"
        "from torch.nn import LazyLinear\n"
        "model('theirs')(LazyLinear)\nmodel('partly')(functools.partial(LazyLinear, bias=False))\n"
        "method('plain')(plain)\nregister_twice()\n",
        helpers="from trainers import method\n"
        "def plain(student):\n    return student.mean()\n"
        "def register_twice():\n    for name in ('a', 'b'):\n        method(name)(plain)\n",
    )
    assert {METHODS.module(name) for name in ("plain", "a", "b")} == {"one"}
    assert {MODELS.module(name) for name in ("theirs", "partly")} == {"one"}
    unload()
    assert "theirs" not in MODELS


def test_what_a_module_prints_does_not_mix_with_our_output(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.load(one=f"print('hello')\n{MYKD}")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "hello\n")


def test_what_a_module_changes_of_torch_is_set_back_and_said(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    """Other methods' numbers would change, and no key would say so."""
    folder.load(one=f"import torch\ntorch.set_default_dtype(torch.float64)\n{MYKD}")
    assert torch.get_default_dtype() == torch.float32
    (said,) = caplog.messages
    assert said.startswith(f"{folder.path / 'one.py'} changes torch for the whole process: the default dtype (")


def test_an_import_that_does_not_end_is_broken_off_with_file_and_line(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded, "IMPORT_SECONDS", 0.2)
    said = refused(folder, one="import time\n\ntime.sleep(600)\n")
    assert said == f"cannot import one: {folder.path / 'one.py'}:3: OverdueError: did not end within 0.2 s"
    monkeypatch.undo()
    folder.load(one=MYKD)
    assert "mykd" in METHODS


@pytest.mark.parametrize("raised", ["GeneratorExit()", "type('Own', (BaseException,), {})('so')"])
def test_a_module_may_raise_anything(folder: Folder, raised: str) -> None:
    assert refused(folder, one=f"x = 1\nraise {raised}\n").startswith(
        f"cannot import one: {folder.path / 'one.py'}:2: "
    )


def test_what_a_module_warns_of_is_a_warning_as_any_other(folder: Folder) -> None:
    with pytest.warns(UserWarning, match="careful"):
        folder.load(one=f"import warnings\nwarnings.warn('careful')\n{MYKD}")
    assert "mykd" in METHODS


def test_a_module_of_ours_has_no_fingerprint() -> None:
    assert (fingerprint(""), fingerprint("trainers.distillers.kd"), fingerprint("torch")) == ("", "", "")


def test_loading_warns_of_nothing(folder: Folder) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folder.load(paper__="", paper__losses=MYKD)
