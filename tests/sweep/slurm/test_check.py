"""What is said on the login node of a compute node."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from sweep.cli.app import app
from sweep.layout import Root
from sweep.slurm import check, disks, drivers
from sweep.slurm.check import Finding, findings
from sweep.slurm.wanted import Wanted
from tests.support.command import SMALL

MOUNTS = """\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:25 / /dev/shm rw,nosuid - tmpfs tmpfs rw
31 22 0:40 / /home rw,relatime shared:9 - nfs4 server:/home rw
32 31 0:41 / /home/me/my\\040scratch rw,relatime - lustre mds:/scratch rw
33 22 8:2 / /data rw - ext4 /dev/sdb1 rw
34 33 0:42 / /data rw - nfs server:/data rw
"""
SBATCH = """\
#!/bin/sh
[ "$1" = --test-only ] || exit 9
grep -q -- --partition=gone "$2" && { echo "allocation failure: Invalid partition name specified" >&2; exit 1; }
echo "sbatch: Job 7 to start at 2026-01-31T18:05:00 using 2 processors on nodes node in partition main" >&2
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's, on a cluster: with a spec, and a stand-in for sbatch that knows all partitions but `gone`."""
    (tmp_path / "spec.yaml").write_text(SMALL)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "sbatch").write_text(SBATCH)
    (programs / "sbatch").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    mounts = tmp_path / "mountinfo"
    mounts.write_text("22 1 8:1 / / rw,relatime - nfs4 server:/ rw\n")
    monkeypatch.setattr(disks, "MOUNTED", mounts)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(wanted: Wanted | None = None, driver: str | None = None, uri: str = "sqlite:///x.db") -> dict[str, Finding]:
    wanted = wanted or Wanted("12:00:00", cpus=2)
    all_of_them = findings("spec.yaml", Root(Path("runs")), wanted, storage=None, tracking_uri=uri, driver=driver)
    return {finding.what: finding for finding in all_of_them}


def change(folder: Path, old: str, new: str) -> None:
    assert old in SMALL
    (folder / "spec.yaml").write_text(SMALL.replace(old, new))


def test_where_all_is_well_each_check_says_so_and_nothing_is_left_but_data_and_script(folder: Path) -> None:
    told = found()
    assert {finding.what for finding in told.values() if not finding.holds} == set()
    places = ["Python", "its standard library", "this project", "the root", "this folder"]
    checks = [*("spec and code", "data and teachers", "file locks"), *places]
    assert list(told) == [*checks, "without internet", "devices", "room", "GPU driver", "Slurm"]
    assert all(finding.found for finding in told.values())
    assert told["Slurm"].found.startswith("Job 7 to start at")
    assert {path.name for path in (folder / "runs").iterdir()} <= {".gitignore", "cache", "slurm"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "methods: [scratch, kd,",
            "search: {transfer: true}\nmethods: [{dkd: {beta: {range: [1, 8]}}}, kd,",
            "has `search: {transfer: true}`",
        ),
        ("seeds: 2", "seeds: 2\nbudget: {max_trials: 3}", "has a budget"),
        ("epochs: 4,", "epochs: 4, compile: auto,", "compile: auto is not decided yet for resnet14, resnet8"),
    ],
)
def test_of_an_array_it_is_said_what_its_jobs_cannot_divide(folder: Path, old: str, new: str, said: str) -> None:
    array = Wanted("12:00:00", cpus=2, array=3)
    assert found(array)["dividing"].holds
    assert "dividing" not in found()
    change(folder, "[scratch, kd,", "[{dkd: {beta: {range: [1, 8]}}}, kd,")
    assert found(array)["dividing"].holds
    change(folder, old, new)
    assert said in wrong(found(array))["dividing"]


def test_of_an_array_it_is_said_where_the_disk_makes_no_hard_links(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refused)
    assert "makes no hard links (Operation not permitted)" in wrong(found(Wanted("12:00:00", array=2)))["dividing"]
    assert not list((folder / "runs").glob(".probe*"))


def wrong(told: dict[str, Finding]) -> dict[str, str]:
    return {finding.what: finding.found for finding in told.values() if finding.holds is False}


def test_a_spec_with_a_mistake_is_told_with_its_line(folder: Path) -> None:
    change(folder, "kd,", "dkhd,")
    told = wrong(found())
    assert list(told) == ["spec and code"]
    assert "unknown method 'dkhd'" in told["spec and code"]


def test_data_that_are_not_there_are_told_with_where_they_should_be(folder: Path) -> None:
    (folder / "spec.yaml").write_text(SMALL.replace("{digits: {image_size: 8}}", "{cifar10: {path: data/cifar}}"))
    told = wrong(found())
    assert list(told) == ["data and teachers"]
    assert "data/cifar" in told["data and teachers"]


@pytest.mark.parametrize(
    ("compute", "wanted", "told"),
    [
        ("gpus: 0.5", Wanted(cpus=2), "a trial asks for 0.5 GPUs (compute.gpus), the job for none: --gpus-per-node"),
        ("gpus: 2", Wanted(cpus=2, gpus="a100:1"), "a trial asks for 2 GPUs, and the job for 1"),
        ("cpus: 4", Wanted(cpus=2), "a trial asks for 4 CPUs, and the job for 2"),
        ("cpus: 1", Wanted(cpus=2, gpus="1"), "the job asks for GPUs, and compute.gpus is 0: no trial would use them"),
    ],
)
def test_a_job_that_no_trial_fits_into_is_told(folder: Path, compute: str, wanted: Wanted, told: str) -> None:
    change(folder, "seeds: 2", f"seeds: 2\ncompute: {{{compute}}}")
    assert wrong(found(wanted))["devices"] == told


def test_what_slurm_refuses_is_told_in_its_words(folder: Path) -> None:
    assert wrong(found(Wanted(cpus=2, partition="gone"))) == {
        "Slurm": "allocation failure: Invalid partition name specified"
    }
    assert "--time noon is no wall time" in wrong(found(Wanted("noon", cpus=2)))["Slurm"]


def test_without_slurm_that_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    assert wrong(found()) == {"Slurm": "there is no sbatch here"}


def test_a_disk_without_room_is_told_by_bytes_and_by_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, holds in {
        (10**6, 10**6): False,
        (10**12, 10): False,
        (10**12, 10**6): True,
        (10**12, None): True,
    }.items():
        monkeypatch.setattr(check, "free", lambda path, free=free: free)
        assert found()["room"].holds is holds


def test_a_disk_without_file_locks_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(file: int, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_locks)
    assert "has no file locks (Function not implemented)" in check._locks(Root(Path("runs"))).found


def test_a_server_that_a_node_may_not_reach_is_told_without_its_password(folder: Path) -> None:
    told = found(uri="https://me:hidden@mlflow.there:5000")["without internet"]
    assert told.holds is None
    assert "mlflow.there" in told.found
    assert "hidden" not in told.found
    assert "`sweep sync small` delivers later" in told.found


@pytest.mark.parametrize(
    ("path", "sees", "kind"),
    [
        ("/usr/lib", None, "ext4"),
        ("/home/me/runs", True, "nfs4"),
        ("/home/me/my scratch/runs", True, "lustre"),
        ("/data/x", True, "nfs"),
        ("/dev/shm/runs", False, "tmpfs"),
        ("/homely", None, "ext4"),
    ],
)
def test_where_a_folder_lies_says_whether_other_machines_see_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, path: str, sees: bool | None, kind: str
) -> None:
    (folder / "mountinfo").write_text(MOUNTS)
    monkeypatch.setattr(disks, "_existing", lambda there: there)
    monkeypatch.setattr(Path, "resolve", lambda there: there)
    holds, told = disks.whereabouts(Path(path))
    assert holds is sees
    assert kind in told
    assert path in told


@pytest.mark.parametrize(
    ("cuda", "driver", "holds"),
    [
        ("12.8", "550.54.15", True),
        ("12.8", "525.60.13", True),
        ("12.8", "470.82.01", False),
        ("13.0", "550.54.15", False),
        ("13.0", "580.65.06", True),
        ("11.8", "450.80.02", True),
        ("12.8", None, None),
        ("99.0", "550", None),
        (None, "550.54.15", False),
        ("12.8", "new", False),
    ],
)
def test_a_driver_is_held_against_torch_s_cuda(cuda: str | None, driver: str | None, holds: bool | None) -> None:
    assert drivers.fits(cuda, driver)[0] is holds


def test_the_driver_matters_where_a_trial_asks_for_a_gpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert found(driver="470.82.01")["GPU driver"].holds
    change(folder, "seeds: 2", "seeds: 2\ncompute: {gpus: 1}")
    told = wrong(found(Wanted(cpus=2, gpus="1"), driver="470.82.01"))
    assert told == {"GPU driver": "470.82.01, and CUDA 12.8 of torch's needs 525 or newer: install another torch"}


def test_the_verb_prints_a_line_for_each_check_and_ends_with_2_where_something_would_fail(folder: Path) -> None:
    ask = ["slurm", "spec.yaml", "--check", "--cpus", "2"]
    done = CliRunner().invoke(app, ask, catch_exceptions=False)
    assert (done.exit_code, done.stdout.count("✗")) == (0, 0)
    assert all(line[:2] in ("✓ ", "? ") for line in done.stdout.splitlines())
    done = CliRunner().invoke(app, [*ask, "--partition", "gone"], catch_exceptions=False)
    assert (done.exit_code, done.stdout.count("✗")) == (2, 1)
