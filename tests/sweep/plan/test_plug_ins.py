"""What an installed distribution registers, in a plan without code of its own: every process that needs it finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.engine.job import describe
from sweep.engine.worker import data_of
from sweep.layout import Root
from sweep.plan.code import at_hand
from sweep.plan.expand import build_plan
from tests.support.examples import job_of, slot_of, small_spec
from tests.support.own import MYKD, TINYNET
from tests.support.site import PACKAGE, Site, site
from trainers.code import load_installed
from trainers.errors import InputError
from trainers.models import MODELS

__all__ = ["site"]

EDITED = MYKD.replace("return beta *", "return 0.5 * beta *")


@pytest.fixture
def plugged(site: Site) -> Site:
    site.install(f"{PACKAGE}.losses", __init__=f"from {PACKAGE} import nets", losses=MYKD, nets=TINYNET)
    load_installed()
    return site


def test_a_worker_knows_an_installed_method_though_the_plan_has_no_code(plugged: Site, tmp_path: Path) -> None:
    plan = build_plan(small_spec(methods=["kd", "mykd", {"dhkd": {"main": "mykd"}}]))
    assert not plan.code
    for method in ("mykd", "dhkd"):
        job = job_of(plan, slot_of(plan, method))
        plugged.forget()  # the worker is another process
        assert data_of(describe(job, plan, Root(tmp_path / "runs")), job.trial).name == "digits"


def test_a_worker_with_another_release_of_it_trains_nothing(plugged: Site, tmp_path: Path) -> None:
    plan = build_plan(small_spec(methods=["kd", "mykd"]))
    job = job_of(plan, slot_of(plan, "mykd"))
    plugged.forget()
    plugged.install(f"{PACKAGE}.losses", losses=EDITED)
    with pytest.raises(InputError, match="this machine has other code of method mykd than the one the plan was made"):
        data_of(describe(job, plan, Root(tmp_path / "runs")), job.trial)


def test_a_student_s_network_may_be_an_installed_one(plugged: Site, tmp_path: Path) -> None:
    plan = build_plan(small_spec(pairs=["resnet20 -> tinynet"]))
    plugged.forget()
    assert "tinynet" not in MODELS
    at_hand(plan.code, Root(tmp_path / "runs"))
    assert "tinynet" in MODELS
