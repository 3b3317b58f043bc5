"""What the documents say is so."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from search_spaces.files import shipped_specs
from search_spaces.loader import KEYS, parse_spec
from search_spaces.schema import Budget, Search
from sweep.cli.app import app
from sweep.cli.students import students
from sweep.cli.teachers import teachers
from trainers.distillers import METHODS

TOP = Path(__file__).parent.parent
PAGES = [TOP / "README.md", TOP / "CHANGELOG.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").glob("*.md"))]
README = (TOP / "README.md").read_text()
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)(#[^)]*)?\)")
VERBS = set(get_command(app).commands)  # type: ignore[attr-defined]
STUDENTS = {command.name for command in students.registered_commands}
TEACHERS = {command.name for command in teachers.registered_commands}


def slug(heading: str) -> str:
    """A heading's anchor."""
    return re.sub(r"[^\w\- ]", "", heading.strip("# \n").lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        if target.startswith("https://"):
            continue
        path = page.parent / target
        assert path.exists(), f"{page.name}: {target}"
        if anchor:
            headings = [line for line in path.read_text().splitlines() if line.startswith("#")]
            assert anchor[1:] in map(slug, headings), f"{page.name}: {target}{anchor}"


def test_every_command_in_the_documents_is_a_verb() -> None:
    text = "\n".join(page.read_text() for page in PAGES) + "\n".join(p.read_text() for p in shipped_specs().values())
    named = set(re.findall(r"(?:uv run |`|# )sweep ([a-z]+)", text))
    assert {"run", "plan", "status", "leaderboard", "list", "ui", "sync", "teachers"} <= named
    assert named <= VERBS
    assert set(re.findall(r"(?:uv run |`|# )sweep teachers ([a-z]+)", text)) == TEACHERS
    assert set(re.findall(r"(?:uv run |`|# )sweep students ([a-z]+)", text)) == STUDENTS


def test_the_two_commands_stand_in_the_readme_and_ci_runs_the_second() -> None:
    assert "pip install uv && uv run sweep run digits-alpha" in README
    assert "pip install uv && uv run pytest" in README
    steps = (TOP / ".ci" / "run").read_text().splitlines()
    assert steps.index("pip install uv") < steps.index("uv run pytest")


def test_the_tree_names_files_that_exist() -> None:
    tree = README.partition("## The tree")[2].split("```")[1]
    folder = TOP
    entries = 0
    for line in tree.strip().splitlines():
        name = line.split()[0].rstrip("/") if line.startswith(" ") else line.split()[0]
        if not line.startswith(" "):
            folder = TOP / name
            assert folder.is_dir(), name
        else:
            assert list(folder.glob(name)), f"{folder.name}/{name}"
            entries += 1
    assert entries > 20


def test_every_package_stands_in_the_tree_and_every_module_of_the_engine_on_the_map() -> None:
    tree = README.partition("## The tree")[2].split("```")[1]
    packages = [folder.parent.name for top in ("sweep", "trainers") for folder in (TOP / top).glob("*/__init__.py")]
    assert [name for name in packages if f"  {name}/ " not in tree] == []
    assert len(tree.strip().splitlines()) < 40, "a tree that fits on one screen"
    house = (TOP / "docs/architecture.md").read_text().partition("## The house")[2].partition("## Words")[0]
    modules = [m for m in (TOP / "sweep").rglob("*.py") if m.parent.name not in ("report", "cli") and m.stem[0] != "_"]
    assert [
        module.stem for module in modules if f"`{module.stem}`" not in house and f"`{module.name}`" not in house
    ] == []


def test_the_spec_in_the_readme_is_right() -> None:
    text = README.partition("```yaml\n")[2].partition("```")[0]
    spec = parse_spec(text, "README.md")
    assert len(spec.pairs) == 2
    assert sum(len(method.variants) for method in spec.methods) == 8


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", (TOP / "docs/specs.md").read_text(), re.DOTALL))
def test_the_specs_in_the_guide_are_right(text: str) -> None:
    spec = parse_spec(text, "specs.md")
    assert len(spec.pairs) == 2
    assert spec.pairs[0].methods != spec.pairs[1].methods


def test_the_guide_names_every_key_of_a_spec() -> None:
    guide = (TOP / "docs/specs.md").read_text()
    assert [key for key in KEYS if f"| `{key}` |" not in guide] == []
    for section in (Search, Budget):
        assert [field for field in section.model_fields if f"| `{field}` |" not in guide] == []


def test_the_readme_names_every_method() -> None:
    assert [name for name in METHODS if f"`{name}`" not in README] == []


@pytest.mark.parametrize("path", shipped_specs().values(), ids=shipped_specs())
def test_every_shipped_spec_begins_with_its_command_cost_and_expected_score(path: Path) -> None:
    head = path.read_text().partition("name:")[0]
    assert head.startswith(f"# sweep run {path.stem}\n")
    assert re.search(r"minutes? on 2 CPU cores", " ".join(head.replace("#", "").split()))
    assert "Expected:" in head


def test_pins_are_names_and_versions_only() -> None:
    lines = (TOP / "requirements.lock").read_text().splitlines()
    assert len(lines) > 50
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []


def test_the_lower_floor_imports_nothing_of_the_upper_one() -> None:
    forbidden = re.compile(r"^\s*(?:from|import) (ray|optuna|mlflow|sweep)\b", re.MULTILINE)
    files = [*(TOP / "trainers").rglob("*.py"), *(TOP / "search_spaces").rglob("*.py")]
    assert len(files) > 30
    assert [str(file) for file in files if forbidden.search(file.read_text())] == []


def test_lock_files_with_download_addresses_are_not_tracked() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=TOP, capture_output=True, text=True)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    assert "uv.lock" not in tracked.stdout.splitlines()


def test_the_guide_to_recipes_names_every_field_every_recipe_and_whoever_refuses_mixed_images() -> None:
    from tests.trainers.distillers.test_one_label import REFUSED
    from trainers.config import Recipe
    from trainers.recipe_parts import ADAPTIVE
    from trainers.recipes import RECIPES

    text = (TOP / "docs" / "recipes.md").read_text()
    named = set(re.findall(r"`([a-z0-9_-]+)`", text))
    assert {*Recipe.model_fields, *RECIPES, *ADAPTIVE, *REFUSED} <= named
