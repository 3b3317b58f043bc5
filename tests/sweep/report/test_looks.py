"""One look for each row, whatever a figure draws beside it."""

from __future__ import annotations

import pytest

from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.report import colors, curves, fidelity, gradients, sensitivity, style
from sweep.report.history import History, read
from sweep.report.looks import HUES, LINES
from sweep.report.style import Studio
from tests.support.examples import begin, record, small_spec
from tests.support.examples_report import tell_all

MANY = ["scratch", "kd", "dkd", "at", "sp", "pkt", "rkd", "nst", "mlkd", "dist"]
"""More methods than there are colours."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> History:
    with Ledger(tmp_path_factory.mktemp("told") / "ledger.db") as ledger:
        tell_all(ledger)
        return read(ledger)


def of(folder_ledger: Ledger, **changes: object) -> History:
    spec = small_spec(seeds=1, **changes)
    plan = build_plan(spec)
    begin(folder_ledger, plan, spec)
    for slot in plan.slots:
        record(folder_ledger, plan, slot, [80.0])
    return read(folder_ledger)


@pytest.mark.slow(2)
def test_a_row_has_one_colour_in_all_figures(told: History) -> None:
    """As their legends have it: each label of a row is drawn in the same colour wherever it stands."""
    studio, seen = Studio(), dict[str, set[str]]()
    with style.drawing():
        for made in (curves, fidelity, gradients, sensitivity):
            made.section(told, studio)
    for picture in studio.pictures:
        for line in picture.figure.axes[0].lines:
            seen.setdefault(str(line.get_label()), set()).add(str(line.get_color()))
    rows = {config.name: told.looks.row(config.row).color for config in told.configurations}
    drawn = {name: seen[name] for name in rows if name in seen}
    assert drawn == {name: {rows[name]} for name in drawn}
    assert {"scratch", "kd", "dhkd α=0.5", "dhkd α=1", "dhkd α=5"} <= drawn.keys()


def test_a_look_does_not_depend_on_what_is_drawn_or_has_a_result(ledger: Ledger) -> None:
    spec = small_spec(seeds=1, methods=["scratch", "kd", "dkd", {"dhkd": {"alpha": [0.5, 1]}}])
    plan = build_plan(spec)
    begin(ledger, plan, spec)
    before = read(ledger)
    looks = {config.name: before.looks.row(config.row) for config in before.configurations}
    for slot in plan.students[2:]:
        record(ledger, plan, slot, [80.0])
    after = read(ledger)
    assert {config.name: after.looks.row(config.row) for config in after.configurations} == looks


def test_the_baseline_is_ink_and_scratch_is_grey(told: History) -> None:
    looks = {config.row.label: told.looks.row(config.row) for config in told.configurations}
    assert (looks["kd"].color, looks["scratch"].color) == (colors.INK, colors.SERIES[5])


def test_rows_of_a_method_are_tints_of_its_colour_from_pale_to_dark(told: History) -> None:
    tints = [told.looks.row(config.row).color for config in told.of("resnet20→resnet8") if config.row.method == "dhkd"]
    assert told.looks.line("dhkd").color == tints[1] == colors.SERIES[HUES[0]]
    light = [sum(bytes.fromhex(tint[1:])) for tint in tints]
    assert light == sorted(light, reverse=True)
    assert len(set(light)) == 3


def test_beyond_the_palette_the_lines_differ(ledger: Ledger) -> None:
    history = of(ledger, methods=MANY)
    looks = [history.looks.row(config.row) for config in history.configurations]
    assert len({(look.color, look.line) for look in looks}) == len(MANY)
    assert {look.line for look in looks} == set(LINES[:2])


@pytest.mark.parametrize("count", [2, 3, 4, 5, 12, 40])
def test_rows_of_one_method_are_told_apart_however_many(ledger: Ledger, count: int) -> None:
    alphas = [round(0.1 * (place + 1), 1) for place in range(count)]
    history = of(ledger, methods=["kd", {"dhkd": {"alpha": alphas}}])
    looks = [history.looks.row(config.row) for config in history.configurations]
    assert len(set(looks)) == count + 1


def test_every_colour_of_a_row_is_decided_by_the_readers_mode(ledger: Ledger) -> None:
    history = of(ledger, methods=["scratch", {"kd": {"temperature": [2, 4]}}, {"dhkd": {"alpha": [0.5, 1, 2, 4, 8]}}])
    for config in history.configurations:
        variable = colors.VARIABLES[history.looks.row(config.row).color]
        assert colors.palette().count(f"{variable[4:-1]}: ") == 2, variable
