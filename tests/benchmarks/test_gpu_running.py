"""The GPU script's stages as processes: limits, crashes, and what is left when the script itself is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.gpu import running
from benchmarks.gpu.__main__ import chosen, main, parsed, seconds
from benchmarks.gpu.findings import Finding, Findings, read
from benchmarks.gpu.running import PART_SECONDS, Run, Stage, run_all
from benchmarks.gpu.stages import PARTS, every

PATIENCE = 60.0
STAGES = {
    "fine": "asked.say('seen', device=asked.device, quick=asked.quick)",
    "raises": "asked.say('before')\n    print('a word')\n    raise ValueError('no such kernel')",
    "dies": "asked.say('before')\n    import os, signal\n    os.kill(os.getpid(), signal.SIGSEGV)",
    "hangs": (
        "import subprocess, sys, time\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "    asked.say('child', pid=child.pid)\n    time.sleep(600)"
    ),
    "leaves": (
        "import subprocess, sys\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "    asked.say('child', pid=child.pid)"
    ),
    "absent": "",
}
Ran = Callable[..., list[Finding]]


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Runs stages by name; what they found."""
    for name, body in STAGES.items():
        if body:
            (tmp_path / f"stage_{name}.py").write_text(f"def run(asked):\n    {body}\n")
    paths = [str(tmp_path), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))

    def run(*stages: tuple[str, float], within: float = PATIENCE) -> list[Finding]:
        path = tmp_path / "found.jsonl"
        asked = [Stage(name, f"stage_{name}", limit, "") for name, limit in stages]
        done = run_all(asked, Run(Findings(path), "cpu", quick=False, seconds=within), tell=lambda line: None)
        found = read(path)
        assert done == all(finding.get("ended", "finished") == "finished" for finding in found)
        return found

    return run


def one(found: list[Finding], stage: str, **having: Any) -> Finding:
    """The only finding of a stage with these fields; None stands for any value."""
    (only,) = [
        finding
        for finding in found
        if finding["stage"] == stage
        and all(name in finding and value in (None, finding[name]) for name, value in having.items())
    ]
    return only


def gone(pid: int) -> bool:
    """Whether a process ends."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_a_stage_that_raises_or_dies_is_written_down_and_the_others_go_on(ran: Ran) -> None:
    found = ran(("raises", PATIENCE), ("dies", PATIENCE), ("absent", PATIENCE), ("fine", PATIENCE))
    assert one(found, "raises", error=None)["error"] == "ValueError: no such kernel"
    ended = one(found, "raises", ended=None)
    assert ended["ended"] == "failed with exit code 1"
    assert "a word" in ended["printed"] and "Traceback" in ended["printed"]
    assert one(found, "dies", what="before")
    assert one(found, "dies", ended=None)["ended"] == "killed by SIGSEGV"
    assert "stage_absent" in one(found, "absent", error=None)["error"]
    assert one(found, "fine", what="seen") == {"stage": "fine", "what": "seen", "device": "cpu", "quick": False}
    assert one(found, "fine", ended=None)["ended"] == "finished"


def test_a_stage_that_overruns_is_ended_with_all_it_has_started(ran: Ran) -> None:
    found = ran(("hangs", 2.0), ("fine", PATIENCE))
    assert one(found, "hangs", ended=None)["ended"] == "out of time after 2 s"
    assert gone(one(found, "hangs", what="child")["pid"])
    assert one(found, "fine", ended=None)["ended"] == "finished"


def test_what_a_stage_leaves_running_is_ended(ran: Ran) -> None:
    found = ran(("leaves", PATIENCE))
    assert one(found, "leaves", ended=None)["ended"] == "finished"
    assert gone(one(found, "leaves", what="child")["pid"])


def test_stages_for_which_no_time_is_left_are_not_begun(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LEAST_SECONDS", 0.5)
    found = ran(("hangs", PATIENCE), ("fine", PATIENCE), within=1.0)
    assert one(found, "hangs", ended=None)["ended"].startswith("out of time after")
    assert one(found, "fine", ended=None)["ended"] == "not begun: no time was left"


def test_the_script_ends_its_stage_when_it_is_ended(ran: Ran, tmp_path: Path) -> None:
    path = tmp_path / "found.jsonl"
    code = (
        "import sys; from pathlib import Path\n"
        "from benchmarks.gpu import __main__, stages\nfrom benchmarks.gpu.running import Stage\n"
        "stages.PARTS['more'][:] = [Stage('hangs', 'stage_hangs', 600, '')]\n"
        f"sys.exit(__main__.main(['--part', 'more', '--device', 'cpu', '--commit', 'abc', '--out', {str(path)!r}]))"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        until = time.monotonic() + PATIENCE
        while not path.exists() or '"pid"' not in path.read_text():
            assert time.monotonic() < until, "the stage did not begin"
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 130
    found = read(path)
    assert one(found, "hangs", ended=None)["ended"] == "interrupted"
    assert gone(one(found, "hangs", what="child")["pid"])
    begun = one(found, "a run", device="cpu")
    assert (begun["stages"], begun["commit"]) == (["hangs"], "abc")


def test_stages_are_chosen_by_part_or_by_name() -> None:
    assert [stage.name for stage in chosen(parsed(["--part", "speed"]))] == [stage.name for stage in PARTS["speed"]]
    assert [stage.name for stage in chosen(parsed(["--stages", "speed, machine"]))] == ["machine", "speed"]
    assert [stage.name for stage in chosen(parsed([]))] == list(every())
    assert all(stages[0].name == "machine" for stages in PARTS.values())


def test_a_part_has_less_than_five_minutes_and_a_quick_run_all_it_needs() -> None:
    part, named, quick, within = (
        parsed(words.split()) for words in ("--part speed", "--stages views", "--part speed --quick", "--within 7")
    )
    assert seconds(part, chosen(part)) == PART_SECONDS < 300
    assert seconds(named, chosen(named)) == every()["views"].seconds
    assert seconds(quick, chosen(quick)) > sum(stage.seconds for stage in PARTS["speed"])
    assert seconds(within, chosen(within)) == 7


def test_a_stage_that_there_is_none_of_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--stages", "machine,vews"])
    assert ended.value.code == 2
    assert "no stage is called 'vews'; there are machine, views" in capsys.readouterr().err


def test_what_was_found_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Findings(tmp_path / "found.jsonl").add({"stage": "views", "what": "weak", "value": 3})
    assert main(["--show", str(tmp_path / "found.jsonl")]) == 0
    assert "| views | weak | 3 |" in capsys.readouterr().out
    assert main(["--show", str(tmp_path / "none.jsonl")]) == 2
    assert capsys.readouterr().err.startswith(str(tmp_path / "none.jsonl"))
    assert main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == sum(map(len, PARTS.values()))


def test_the_documents_name_every_stage_with_its_limit() -> None:
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text()
    for stage in every().values():
        assert f"| `{stage.name}` | {stage.seconds:.0f} s |" in page
