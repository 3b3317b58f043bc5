"""A thousand malformed specs through the command itself: each is refused with one message, and nothing is started."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from typer.main import get_command

from sweep.cli import app

pytestmark = pytest.mark.slow(2)

SPECS = 1000
BLOCKS = 4
"""Tests that share them, to run side by side."""
VERBS = (("run",), ("plan",), ("teachers", "train"))

WHOLE = {
    "name": "small",
    "dataset": "{digits: {image_size: 8}}",
    "recipe": "{base: digits, epochs: [2, 3], lr: 0.1}",
    "pairs": "[resnet14 -> resnet8, resnet20 -> resnet8: {recipe: {lr: 0.02}}]",
    "methods": "[kd, dhkd: {alpha: [0.5, 2], head: nonlinear}, gdkd: {w2: {range: [1, 8], log: true}}]",
    "teachers": "{recipe: {epochs: 4}, seed: 1}",
    "seeds": "2",
    "protocol": "validation",
    "baseline": "kd",
    "search": "{trials: 4, sampler: tpe, grace: 1}",
    "budget": "{max_trials: 50}",
    "compute": "{cpus: 1, retries: 2}",
}
"""A spec without a mistake."""

NEVER = ("[[]]", "{a: {b: c}}", "!!python/name:os.system x", "&a *a", "2026-99-99x", '"\\ud800"', ".inf", "-.nan")
"""Right nowhere."""
WRONG: dict[str, tuple[str, ...]] = {
    "name": ("", "null", "3", "a/b", "..", "[small]", "'" + "x" * 65 + "'", "true"),
    "dataset": ("", "digist", "[digits]", "{digits: {image_size: 7.5}}", "{digits: {size: 8}}", "{digits: 8}", "7"),
    "recipe": ("cifra", "{base: digits, epochs: 0}", "{base: digits, epochs: []}", "{lr: fast}", "{lr: .nan}", "5"),
    "pairs": ("[]", "resnet8", "[resnet14 to resnet8]", "[resnet14 -> resnet9]", "[-> resnet8]", "{}", "[null]", "3"),
    "methods": ("[]", "[dhkdd]", "[kd: {alpha: -1}]", "[kd: {alpha: []}]", "[kd: {alhpa: 1}]", "[1]", "null", "kd: 1"),
    "teachers": ("{recipe: {epochs: [1, 2]}}", "{seed: -1}", "{sed: 1}", "3", "[]", "{recipe: {lr: big}}"),
    "seeds": ("0", "-3", "[]", "[1, 1]", "[a]", "1.5", "1e9", "many", "{}", "true"),
    "protocol": ("papre", "[paper]", "7", "{}"),
    "baseline": ("scratch", "nothing", "[kd]", "4"),
    "search": ("{trials: 0}", "{sampler: tpee}", "{pruner: no}", "{metrics: [loss]}", "{reduction: 1}", "20", "{x: 1}"),
    "budget": ("{max_trials: 0}", "{max_device_hours: -1}", "{deadline: tomorrow}", "{max: 3}", "[3]", "9"),
    "compute": ("{cpus: 0}", "{gpus: -0.5}", "{gpus: 1.5}", "{retries: some}", "{cpu: 1}", "[1]", "all"),
}
"""What each section must not be."""
TEXT = (
    "\tname: x\n",
    "name: again\n",
    "[\n",
    "}\n",
    "- item\n",
    "'open\n",
    "seedz: 2\n",
    "? \n",
    "%YAML 9\n",
    "\x00\n",
)
"""Lines that no spec may have."""


def malformed(draw: random.Random) -> bytes:
    """A spec with at least one mistake: in a section, in the text, or for want of a section."""
    sections = dict(WHOLE)
    for name in draw.sample(sorted(WRONG), draw.choice([0, 1, 1, 2, 3])):
        sections[name] = draw.choice((*WRONG[name], *NEVER))
    kept = sections != WHOLE
    if not kept and draw.random() < 0.5:
        del sections[draw.choice(["name", "dataset", "pairs", "methods"])]
        kept = True
    lines = [f"{name}: {value}\n" for name, value in sections.items()]
    if not kept or draw.random() < 0.2:
        lines.insert(draw.randint(0, len(lines)), draw.choice(TEXT))
    data = "".join(lines).encode()
    return data + b"\xff" if draw.random() < 0.02 else data


@pytest.mark.parametrize("block", range(BLOCKS))
def test_a_malformed_spec_is_refused_with_one_message(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(app, "app", get_command(app.app))  # the same command, not built anew a thousand times
    draw = random.Random(block)
    for number in range(SPECS // BLOCKS):
        content = malformed(draw)
        Path("spec.yaml").write_bytes(content)
        with pytest.raises(SystemExit) as end:
            app.main([*VERBS[number % len(VERBS)], "spec.yaml"])
        out, err = capsys.readouterr()
        assert end.value.code == 2, content
        assert out == "", content
        assert err.count("sweep: ") == 1, content
        assert err.startswith("sweep: "), content
        assert "spec.yaml" in err, content
        assert "Traceback" not in err, content
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]
