"""What a run holds, from the ledger's bodies."""

from __future__ import annotations

from sweep.engine.meter import GPU_POWER, PROCESS_MEMORY
from sweep.plan.slots import Plan
from sweep.tracking.mlflow_internals import LONGEST_TAG
from sweep.tracking.run_content import described, epoch_metrics, origin_tags, release_tags, summary_metrics
from tests.support.examples import epoch_body


def test_an_epoch_without_validation_has_no_such_metric() -> None:
    assert "val_acc" not in epoch_metrics(epoch_body(1, 90.0))
    assert epoch_metrics(epoch_body(1, 90.0, 80.0))["val_acc"] == 80.0


def test_what_an_epoch_took_of_the_machine_stands_in_mlflows_tab_of_system_metrics() -> None:
    system = {GPU_POWER: {"mean": 350.0, "peak": 690.0}, PROCESS_MEMORY: {"mean": 900.0, "peak": 1200.0}}
    told = epoch_metrics(epoch_body(1, 90.0) | {"system": system})
    shown = {name: value for name, value in told.items() if name.startswith("system/")}
    assert shown == {"system/gpu_0_power_usage_watts": 350.0, "system/process_memory_megabytes": 1200.0}
    earlier = epoch_body(1, 90.0)
    del earlier["system"]
    assert epoch_metrics(earlier)["test_acc"] == 90.0


def test_a_stored_teacher_without_epochs_has_its_accuracies(small_plan: Plan) -> None:
    last = {"epoch": 20, "val_acc": None, "test_acc": 97.0}
    stored = {"state": "finished", "epochs": 0, "seconds": 0.0, "last": last, "best": last, "best_by": "last"}
    assert summary_metrics(stored) == {"best_epoch": 20, "best_test_acc": 97.0, "train_seconds": 0, "test_acc": 97.0}


def test_what_stands_above_a_table_stays_when_the_table_is_cut() -> None:
    above = ["[a link](#)", "![a figure](figure.png)"]
    assert described("| a table |\n", above) == "[a link](#)\n\n![a figure](figure.png)\n\n| a table |\n"
    cut = described("| a row |\n" * 1000, above)
    assert cut.startswith("[a link](#)\n\n![a figure](figure.png)\n\n| a row |\n")
    assert len(cut) <= LONGEST_TAG


def test_a_run_and_a_trial_tell_where_they_come_from() -> None:
    repositories = {"kd-sweep": {"commit": "aa", "dirty": None}, "spec": {"commit": "bb", "dirty": True}}
    noted = {"repositories": repositories, "releases": {"torch": "2"}, "machine": {"host": "here", "cpu": "Xeon"}}
    assert origin_tags({"provenance": noted}) == {
        "commit.kd-sweep": "aa, changes unknown",
        "commit.spec": "bb with changes",
        "mlflow.source.git.commit": "bb",
        "made_with.torch": "2",
        "ran_on.host": "here",
        "ran_on.cpu": "Xeon",
    }
    assert origin_tags({"spec": "of an earlier release"}) == {}
    ended = {"made_with": {"torch": "2"}, "ran_on": {"gpu": "H100"}}
    assert release_tags(ended) == {"made_with.torch": "2", "ran_on.gpu": "H100"}
    assert release_tags({}) == {}
