"""The file that the GPU script writes, and the tables made of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu.asked import Asked
from benchmarks.gpu.findings import Findings, plain, read
from benchmarks.gpu.show import latest, runs, tables
from trainers.errors import InputError

A_RUN = {"stage": "a run", "commit": "abc", "device": "cuda", "quick": False}


def test_a_finding_is_a_line_and_is_read_back(tmp_path: Path) -> None:
    findings = Findings(tmp_path / "new" / "found.jsonl")
    findings.begin()
    findings.add({"stage": "views", "what": "weak → strong", "value": 1 / 3, "at": tmp_path, "none": None})
    findings.add({"stage": "views", "lost": float("nan"), "most": [float("inf"), 2]})
    assert read(findings.path) == [
        {"stage": "views", "what": "weak → strong", "value": 0.333333, "at": str(tmp_path), "none": None},
        {"stage": "views", "lost": "nan", "most": ["inf", 2]},
    ]
    assert plain({"a": (1, True, 1.0)}) == {"a": [1, True, 1.0]}


def test_a_line_that_was_torn_off_costs_no_other(tmp_path: Path) -> None:
    findings = Findings(tmp_path / "found.jsonl")
    findings.add({"stage": "one"})
    with findings.path.open("a") as file:
        file.write('{"stage": "tor')
    findings.begin()
    findings.add({"stage": "two"})
    assert [finding["stage"] for finding in read(findings.path)] == ["one", "two"]


def test_lines_are_whole_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "found.jsonl"
    code = (
        "import sys; from pathlib import Path; from benchmarks.gpu.findings import Findings\n"
        f"found = Findings(Path({str(path)!r}))\n"
        "while True: found.add({'stage': 'endless', 'text': 'x' * 5000})"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        until = time.monotonic() + 60
        while not path.exists() or path.stat().st_size < 50_000:
            assert time.monotonic() < until, "nothing was written"
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert {len(json.loads(line)["text"]) for line in lines} == {5000}


@pytest.mark.parametrize("content", [None, "", "no finding\n", "[1]\n"], ids=["missing", "empty", "text", "another"])
def test_a_file_without_findings_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "found.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"found\.jsonl"):
        read(path)


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name another file"):
        Findings(tmp_path).begin()


def test_a_figure_says_whether_its_goal_is_met(tmp_path: Path) -> None:
    from benchmarks.common import at_least, at_most

    whole, quick = (Asked("speed", Findings(tmp_path / "found.jsonl"), "cuda", quick) for quick in (False, True))
    whole.figure("ours", [9.0, 12.0, 11.0], at_least(10), unit="times")
    whole.figure("floor", [1.5], at_most(1.15))
    whole.figure("rate", [100.0])
    quick.figure("ours", [1.0], at_least(10))
    quick.check("views: images that differ", 3, at_most(0), images=8)
    quick.check("repeats", True, at_least(1))
    met, missed, bare, counted, differ, true = read(whole.findings.path)
    assert met == {
        "stage": "speed",
        "what": "ours",
        "value": 11,
        "quartiles": [10, 11.5],
        "rounds": 3,
        "goal": "≥ 10",
        "met": True,
        "unit": "times",
    }
    assert (missed["goal"], missed["met"]) == ("≤ 1.15", False)
    assert "goal" not in bare and "met" not in bare
    assert counted["goal"] == "≥ 10" and "met" not in counted
    assert (differ["value"], differ["met"], differ["images"]) == (3, False, 8)
    assert (true["value"], true["met"]) == (1, True)


def test_an_error_is_a_finding_and_the_rest_goes_on(tmp_path: Path) -> None:
    asked = Asked("methods", Findings(tmp_path / "found.jsonl"), "cuda", False)
    with asked.trying("kd"):
        raise ValueError("no such\nkernel")
    asked.say("dkd", fine=True)
    error, after = read(asked.findings.path)
    assert error["error"] == "ValueError: no such\nkernel"
    assert error["at"].startswith("tests/benchmarks/test_gpu_findings.py:")
    assert after["fine"] is True


def test_the_last_round_of_a_figure_is_shown() -> None:
    rounds = [{"stage": "speed", "what": "ours", "rounds": n} for n in (1, 2, 3)]
    other = {"stage": "sld", "what": "ours", "rounds": 1}
    assert latest([A_RUN, *rounds, other]) == [rounds[-1], other]


def test_tables_are_markdown_one_for_each_run() -> None:
    found = [
        A_RUN,
        {"stage": "machine", "what": "machine", "gpu": "a card", "quick": False},
        {"stage": "speed", "what": "ours", "value": 31234.5, "goal": "≥ 10", "met": True, "quartiles": [1.25, 2]},
        {"stage": "memory", "what": "MB left", "value": 30.0, "goal": "≤ 20", "met": False, "before": {"a": 1.5}},
        {"stage": "memory", "what": "a|b", "error": "ValueError: bad\nthing"},
        {"stage": "memory", "ended": "failed with exit code 1", "seconds": 3.25, "limit": 60, "printed": "long"},
        A_RUN | {"quick": True},
        {"stage": "views", "what": "weak", "value": 0, "images": []},
    ]
    first, second = (tables(run).splitlines() for run in runs(found))
    assert "commit abc" in first[0] and "gpu a card" in first[0]
    assert "| speed | ours | 31,234 | 1.25 … 2 | ≥ 10 | yes |  |" in first
    assert "| memory | MB left | 30 |  | ≤ 20 | **no** | before a=1.5 |" in first
    assert "| memory | a\\|b |  |  |  |  | **ValueError: bad thing** |" in first
    assert "| memory | failed with exit code 1 |  |  |  |  | seconds 3.25; limit 60 |" in first
    assert "its figures mean nothing" in second[0]
    assert second[-1] == "| views | weak | 0 |  |  |  | images none |"
    assert tables(found).count("| stage | what |") == 2
