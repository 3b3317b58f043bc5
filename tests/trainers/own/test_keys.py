"""Which of a user's code a trial depends on."""

from __future__ import annotations

from tests.support.own import METHOD, MYKD, TINYNET, Folder
from trainers.code import fingerprint
from trainers.config import MethodConfig
from trainers.own import code_of
from trainers.own.keys import methods_in

KD = MethodConfig(name="kd")
MAIN = MethodConfig(name="dhkd", params={"main": {"name": "mykd", "params": {"beta": 1.0}}, "alpha": 1.0})


def test_what_is_ours_depends_on_none(folder: Folder) -> None:
    folder.load(losses=MYKD, nets=TINYNET)
    assert code_of("digits", ["resnet8", "resnet20"], KD) == {}


def test_what_is_the_user_s_is_named_with_what_it_is(folder: Folder) -> None:
    folder.load(losses=MYKD, nets=TINYNET)
    losses, nets = fingerprint("losses"), fingerprint("nets")
    assert code_of("digits", ["resnet8"], MethodConfig(name="mykd")) == {"method mykd": losses}
    assert code_of("digits", ["tinynet", "resnet8"], KD) == {"model tinynet": nets}
    assert code_of("digits", ["resnet8", "tinynet"], MAIN) == {"method mykd": losses, "model tinynet": nets}


def test_a_method_among_another_s_hyperparameters_is_found() -> None:
    assert [part.name for part in methods_in(MAIN)] == ["dhkd", "mykd"]
    assert [part.name for part in methods_in(KD)] == ["kd"]


def test_two_in_one_file_share_a_fate_and_two_in_two_do_not(folder: Folder) -> None:
    folder.load(one=METHOD.format(name="a") + METHOD.format(name="b"), two=METHOD.format(name="c"))
    found = {name: code_of("digits", ["resnet8"], MethodConfig(name=name))[f"method {name}"] for name in "abc"}
    assert found["a"] == found["b"] != found["c"]
