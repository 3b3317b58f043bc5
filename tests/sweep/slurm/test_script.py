"""The script of a job: its text, and what it does with stand-ins for Slurm's commands and for the sweep."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.exit_codes import DONE, INTERRUPTED, SOME_FAILED, TIME_UP
from sweep.layout import Root
from sweep.slurm.script import text, written
from sweep.slurm.wanted import Wanted
from tests.support.command import LONGEST, SMALL
from tests.support.ports import free_port
from trainers.errors import InputError

END = 1_900_000_000
"""When the stand-in for squeue says that the job ends, in seconds since 1970."""

SQUEUE = """\
#!/bin/sh
echo "$SLURM_TIME_FORMAT $*" > squeue.txt
date --date=@1900000000 +%Y-%m-%dT%H:%M:%S
"""
SCONTROL = """\
#!/bin/sh
echo "$*" > scontrol.txt
"""
SWEEP = """\
import json, os, signal, sys, time
from pathlib import Path

heard = []
for number in (signal.SIGUSR2, signal.SIGTERM):
    signal.signal(number, lambda number, frame: heard.append(signal.Signals(number).name))
Path("began.json").write_text(json.dumps([sys.argv[1:], os.environ.get("SLURM_JOB_END_TIME"), os.getcwd()]))
while not (heard and Path("end.txt").exists()):
    time.sleep(0.02)
Path("heard.json").write_text(json.dumps(heard))
sys.exit(int(Path("end.txt").read_text()))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's, with a spec in it and a name that wants quoting."""
    found = tmp_path / "it's 100 % mine"
    found.mkdir()
    (found / "spec.yaml").write_text(SMALL)
    monkeypatch.chdir(found)
    return found


def script(wanted: Wanted | None = None, storage: str | None = None, **environment: str) -> str:
    return text("spec.yaml", "small", Root(Path("runs")), wanted or Wanted(), storage, environment)


def options(of: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in of.splitlines() if line.startswith("#SBATCH")]


def test_the_script_asks_for_one_node_and_for_what_was_wanted(folder: Path) -> None:
    wanted = Wanted(
        "12:00:00", "a100:2", 8, "gpu", "me", "a100&nvlink", more=("--mem=64G", "--qos", "long run", "-x", "n1")
    )
    assert options(script(wanted)) == [
        "--job-name=small",
        "--nodes=1",
        "--ntasks-per-node=1",
        "--time=12:00:00",
        "--gpus-per-node=a100:2",
        "--cpus-per-task=8",
        "--partition=gpu",
        "--account=me",
        "--constraint='a100&nvlink'",
        "--mem=64G",
        "--qos 'long run'",
        "-x n1",
        "--signal=B:USR2@300",
        "--requeue",
        "--open-mode=append",
        "--output=" + shlex.quote(str(folder).replace("%", "%%") + "/runs/slurm/small-%j.log"),
    ]


def test_what_is_not_wanted_is_left_to_slurm(folder: Path) -> None:
    named = [option.partition("=")[0] for option in options(script())]
    assert named == [
        *("--job-name", "--nodes", "--ntasks-per-node", "--signal", "--requeue", "--open-mode", "--output")
    ]


@pytest.mark.parametrize(
    ("time", "notice"),
    {"1": 15, "10:00": 150, "20": 300, "12:00:00": 300, "2-0": 300, "0:04": 1, "1-12:30": 300, "0-0:1": 15}.items(),
)
def test_the_notice_comes_five_minutes_before_the_end_or_in_the_last_quarter(
    folder: Path, time: str, notice: int
) -> None:
    assert f"--signal=B:USR2@{notice}" in options(script(Wanted(time)))


WRONG = {
    "a time": (Wanted("noon"), "--time noon is no wall time; write hours:minutes:seconds"),
    "no time": (Wanted("0"), "--time 0 is no wall time"),
    "a time with a command": (Wanted("1\nrm x"), "'1\\nrm x' is no option of sbatch's"),
    "a line break": (Wanted(partition="gpu\nrm -r x"), "'gpu\\nrm -r x' is no option of sbatch's"),
    "no option": (Wanted(more=("fast",)), "after -- stand options of sbatch's (--mem=32G), not 'fast'"),
    "several nodes": (Wanted(more=("--nodes=2",)), "the script needs --nodes for itself; give it before the --"),
    "several nodes, in short": (Wanted(more=("-N", "2")), "-N: the script needs --nodes for itself"),
    "an array": (Wanted(more=("-a1-4",)), "-a1-4: the script needs --array for itself; give it before the --"),
    "an array of several nodes each": (Wanted(nodes=2, array=3), "--array 3 is of jobs of one node each"),
    "the script's own": (Wanted(more=("--signal=B:USR1@9",)), "the script needs --signal for itself"),
    "the script's own, in short": (Wanted(more=("-o", "x")), "-o: the script needs --output for itself"),
}


@pytest.mark.parametrize(("wanted", "message"), WRONG.values(), ids=WRONG)
def test_what_slurm_would_not_understand_is_refused(folder: Path, wanted: Wanted, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        script(wanted)


def test_each_job_of_an_array_divides_the_sweep_and_speaks_of_itself_alone(folder: Path) -> None:
    told = script(Wanted("1:00:00", array=3))
    assert options(told)[:3] == ["--job-name=small", "--array=1-3", "--nodes=1"]
    assert options(told)[-1].endswith("small-%A_%a.log'") or options(told)[-1].endswith("small-%A_%a.log")
    assert " --divide &\n" in told
    with pytest.raises(InputError, match="--array divides a sweep over a disk that all nodes see"):
        script(Wanted(array=3), storage="s3://bucket/x")


def test_the_script_is_written_below_the_root(folder: Path) -> None:
    file = written("spec.yaml", "small", Root(Path("runs")), Wanted())
    assert file == folder / "runs" / "slurm" / "small.sh"
    assert subprocess.run(["bash", "-n", str(file)], capture_output=True).stderr == b""


def test_what_may_hold_a_password_is_not_written(folder: Path) -> None:
    told = script(PYTHONPATH="/my code", MLFLOW_TRACKING_URI="http://me:secret@there", RAY_AUTH_TOKEN="secret")
    assert "secret" not in told
    assert "\nexport PYTHONPATH='/my code'\n" in told


@pytest.mark.parametrize("option", ["storage", "tracking_uri"])
def test_a_password_in_an_address_is_refused(folder: Path, option: str) -> None:
    with pytest.raises(InputError, match="holds a password, which no script should") as refused:
        written("spec.yaml", "small", Root(Path("runs")), Wanted(), **{option: "https://me:hidden@there"})
    assert "hidden" not in str(refused.value)


def test_a_storage_is_named_and_a_shipped_spec_keeps_its_name(folder: Path) -> None:
    told = text("digits-alpha", "digits-alpha", Root(Path("runs")), Wanted(), "s3://bucket/x", {})
    runs = subprocess.run(["bash", "-c", f"printf '%s\\n' {command(told)}"], capture_output=True, text=True)
    assert runs.stdout.splitlines() == [
        *(sys.executable, "-m", "kd_sweep", "run", "digits-alpha"),
        *("--root", str(folder / "runs"), "--storage", "s3://bucket/x"),
    ]


def command(of: str) -> str:
    """The line that runs the sweep."""
    (line,) = [line for line in of.splitlines() if line.endswith(" &")]
    return line.removesuffix(" &")


def test_what_is_written_in_a_container_runs_in_it(folder: Path) -> None:
    words = shlex.split(command(script(Wanted(gpus="1"), APPTAINER_CONTAINER="/images/my sweep.sif")))
    here = ["--bind", str(folder), "--bind", str(folder / "runs")]
    assert words[:9] == ["apptainer", "exec", "--nv", *here, "/images/my sweep.sif", sys.executable]
    assert "--nv" not in script(APPTAINER_CONTAINER="/images/x.sif")
    with pytest.raises(InputError, match=r"in a container \(/images/x.sif\) a sweep is a job of one node"):
        script(Wanted(nodes=2), APPTAINER_CONTAINER="/images/x.sif")


# -- what it does -----------------------------------------------------------------------------------------------------


class Job:
    """A job as Slurm starts it, with stand-ins for squeue and scontrol, and for the sweep, which ends when it has heard
    a signal and is told how."""

    def __init__(self, folder: Path, wanted: Wanted | None = None, **environment: str) -> None:
        self.folder = folder
        self._program("squeue", SQUEUE)
        self._program("scontrol", SCONTROL)
        self._program("kd_sweep.py", SWEEP)
        file = written("spec.yaml", "small", Root(Path("runs")), wanted or Wanted())
        path = f"{folder}:{os.environ['PATH']}"
        self.process = subprocess.Popen(
            ["env", "--default-signal=USR2,TERM", "bash", str(file)],  # a shell cannot hear what it was begun deaf to
            cwd="/",
            env={"PATH": path, "SLURM_JOB_ID": "17", "PYTHONPATH": str(folder)} | environment,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.wait_for((folder / "began.json").exists)
        self.wait_for(self._hears)  # which it does a moment after it has begun the sweep

    def _hears(self) -> bool:
        """Whether the script has set what it does on both signals."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        caught = int(re.findall(r"^SigCgt:\s*(\w+)", status, re.MULTILINE)[0], 16)
        return all(caught >> (number - 1) & 1 for number in (signal.SIGUSR2, signal.SIGTERM))

    def _program(self, name: str, content: str) -> None:
        (self.folder / name).write_text(content)
        (self.folder / name).chmod(0o755)

    def wait_for(self, enough: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LONGEST
        while not enough():
            assert self.process.poll() is None, self.process.communicate()
            if time.monotonic() > deadline:
                os.killpg(self.process.pid, signal.SIGKILL)
                pytest.fail(f"waited in vain; the script said {self.process.communicate()[0]!r}")
            time.sleep(0.02)

    def read(self, file: str) -> str:
        """What a stand-in has written; nothing where it was not called."""
        path = self.folder / file
        return path.read_text().strip() if path.exists() else ""

    def end(self, code: int) -> tuple[int, str]:
        """Let the sweep end; the exit code, and what the script has said."""
        (self.folder / "end.txt").write_text(str(code))
        out, _ = self.process.communicate(timeout=LONGEST)
        return self.process.returncode, out


@pytest.fixture
def job(folder: Path) -> Job:
    return Job(folder)


def test_a_job_whose_time_is_up_queues_itself_again(job: Job) -> None:
    """The script alone is told, in the middle of its wait, and hands it on."""
    for _ in range(2):
        os.kill(job.process.pid, signal.SIGUSR2)
        time.sleep(0.2)
    code, out = job.end(TIME_UP)
    assert (code, out) == (TIME_UP, "")
    assert job.read("scontrol.txt") == "requeue 17"
    assert set(json.loads(job.read("heard.json"))) == {"SIGUSR2"}


def test_one_job_of_an_array_is_asked_for_and_queued_again_by_its_own_name(folder: Path) -> None:
    """The number of the last one is that of them all."""
    job = Job(folder, Wanted(array=3), SLURM_JOB_ID="70", SLURM_ARRAY_JOB_ID="70", SLURM_ARRAY_TASK_ID="3")
    os.kill(job.process.pid, signal.SIGUSR2)
    time.sleep(0.2)
    assert job.end(TIME_UP) == (TIME_UP, "")
    assert " --jobs=70_3 " in job.read("squeue.txt")
    assert job.read("scontrol.txt") == "requeue 70_3"


def test_a_job_in_a_container_hands_on_its_signals_where_apptainer_becomes_what_it_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in for apptainer, which does so; whether the real one does is not known from this."""
    monkeypatch.setenv("APPTAINER_CONTAINER", "/images/x.sif")
    apptainer = folder / "apptainer"
    apptainer.write_text('#!/bin/sh\necho "$*" > apptainer.txt\nshift 6\nexec "$@"\n')
    apptainer.chmod(0o755)
    job = Job(folder)
    os.kill(job.process.pid, signal.SIGUSR2)
    time.sleep(0.2)
    assert job.end(TIME_UP) == (TIME_UP, "")
    assert json.loads(job.read("heard.json")) == ["SIGUSR2"]
    assert job.read("apptainer.txt").startswith("exec --bind ")


def test_a_job_that_is_cancelled_waits_for_its_sweep_and_is_not_queued_again(job: Job) -> None:
    os.killpg(job.process.pid, signal.SIGTERM)  # as Slurm does: to all processes
    time.sleep(0.2)
    assert job.process.poll() is None
    code, out = job.end(INTERRUPTED)
    assert (code, out) == (INTERRUPTED, "")
    assert job.read("scontrol.txt") == ""
    assert set(json.loads(job.read("heard.json"))) == {"SIGTERM"}


def test_a_notice_that_comes_before_there_is_a_run_ends_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tests.sweep.slurm.test_script.SQUEUE", "#!/bin/sh\nkill -s USR2 $(ps -o sid= -p $$)\nexec sleep 0.2\n"
    )
    job = Job(folder)
    os.kill(job.process.pid, signal.SIGTERM)
    assert job.end(DONE) == (DONE, "")


@pytest.mark.parametrize("ended", [DONE, SOME_FAILED])
def test_a_sweep_that_has_come_to_its_end_ends_its_job(job: Job, ended: int) -> None:
    os.kill(job.process.pid, signal.SIGUSR2)
    assert job.end(ended)[0] == ended
    assert job.read("scontrol.txt") == ""


def test_the_sweep_runs_where_it_was_asked_for_and_knows_when_its_job_ends(job: Job, folder: Path) -> None:
    os.kill(job.process.pid, signal.SIGUSR2)
    job.end(DONE)
    arguments, end, there = json.loads(job.read("began.json"))
    assert arguments == ["run", str(folder / "spec.yaml"), "--root", str(folder / "runs")]
    assert (end, there) == (str(END), str(folder))
    assert job.read("squeue.txt") == "standard --noheader --jobs=17 --format=%e"


def test_what_slurm_says_of_the_end_by_itself_is_not_asked_for(folder: Path) -> None:
    job = Job(folder, SLURM_JOB_END_TIME="1800000000")
    os.kill(job.process.pid, signal.SIGUSR2)
    job.end(DONE)
    assert json.loads(job.read("began.json"))[1] == "1800000000"
    assert job.read("squeue.txt") == ""


@pytest.mark.parametrize("squeue", ["echo NONE", "exit 1", "echo"])
def test_a_job_whose_end_nobody_knows_has_none(folder: Path, monkeypatch: pytest.MonkeyPatch, squeue: str) -> None:
    monkeypatch.setattr("tests.sweep.slurm.test_script.SQUEUE", f"#!/bin/sh\n{squeue}\n")
    job = Job(folder)
    os.kill(job.process.pid, signal.SIGUSR2)
    job.end(DONE)
    assert json.loads(job.read("began.json"))[1] is None


def test_where_slurm_does_not_queue_it_again_the_log_says_how_to_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.sweep.slurm.test_script.SCONTROL", "#!/bin/sh\nexit 1\n")
    job = Job(folder)
    os.kill(job.process.pid, signal.SIGUSR2)
    code, out = job.end(TIME_UP)
    assert code == TIME_UP
    (again,) = re.findall("not queued again: sbatch (.*) goes on", out)
    assert again == str(folder / "runs/slurm/small.sh")


# -- several nodes ----------------------------------------------------------------------------------------------------

SRUN = """\
#!/bin/bash
# stands in for srun: two tasks on this machine, whose numbers its scancel finds
echo "$*" > srun.txt
while [ "${1#-}" != "$1" ]; do shift; done
for number in 0 1; do
    SLURM_PROCID=$number SLURM_CPUS_ON_NODE=4 setsid "$@" &
    echo $! >> tasks.txt
done
wait
"""
SCANCEL = """\
#!/bin/sh
echo "$*" >> scancel.txt
for task in $(cat tasks.txt); do kill -s "${1#--signal=}" -- "-$task" 2>/dev/null; done
"""
PYTHON = """\
#!/bin/sh
[ "$1" = -c ] && echo 127.0.0.1 && exit
exec {executable} "$@"
"""
RAY = """\
#!{executable}
import json, os, signal, socket, sys
from pathlib import Path

signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())
arguments = dict(word.removeprefix("--").partition("=")[::2] for word in sys.argv[2:])
folder = Path(arguments["temp-dir"]).parent
told = [arguments, str(folder), oct(folder.stat().st_mode)[-3:], len(os.environ["RAY_AUTH_TOKEN"])]
if "head" in arguments:
    listener = socket.create_server(("127.0.0.1", int(arguments["port"])))
Path(f"ray-{{os.environ['SLURM_PROCID']}}.json").write_text(json.dumps(told))
signal.pause()
"""


def test_on_several_nodes_a_ray_of_the_jobs_own_is_started_and_ended(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in {"srun": SRUN, "scancel": SCANCEL, "python": PYTHON, "ray": RAY}.items():
        (folder / name).write_text(content.format(executable=sys.executable) if name in ("python", "ray") else content)
        (folder / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    number = 6000 * 7 + (free_port() - 20_000) // 2
    port = 20_000 + 2 * (number % 6000)
    job = Job(folder, Wanted(nodes=2, cpus=4), SLURM_JOB_ID=str(number), SLURM_CPUS_PER_TASK="4")
    job.wait_for((folder / "ray-1.json").exists)
    assert json.loads(job.read("began.json"))[0][-2:] == ["--address", f"127.0.0.1:{port}"]
    os.kill(job.process.pid, signal.SIGUSR2)
    assert job.end(TIME_UP) == (TIME_UP, "")
    assert job.read("scontrol.txt") == f"requeue {number}"
    assert job.read("srun.txt").startswith("--ntasks-per-node=1 --cpus-per-task=4 ")
    assert job.read("scancel.txt").splitlines()[0] == f"--signal=TERM {number}.0"
    (head, first, *private), (other, second, *_) = (json.loads(job.read(f"ray-{node}.json")) for node in (0, 1))
    assert private == ["700", 64]
    assert (head["port"], other["address"]) == (str(port), f"127.0.0.1:{port}")
    assert head["num-cpus"] == other["num-cpus"] == "4"
    assert first != second
    assert not Path(first).exists()
    assert not Path(second).exists()


def test_the_script_for_several_nodes_holds_no_token(folder: Path) -> None:
    told = script(Wanted(nodes=2))
    assert "--nodes=2" in options(told)
    assert not re.search("[0-9a-f]{16}", told)
