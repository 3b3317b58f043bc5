"""Specs that went wrong: the shipped ones after some random changes, and ones that are far too large."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import yaml

from search_spaces.files import shipped_specs

Path = tuple[str | int, ...]
Tree = dict[str, Any]

# -- mutations of shipped specs --------------------------------------------------------------------------------------

DATASET = "dataset: {digits: {image_size: 16}}\n"
"""Takes the place of the shipped specs' own, which are not on every machine."""
SMALLER = {
    "imagenet/ResNet34": "resnet32",
    "imagenet/ResNet50": "resnet14",
    "imagenet/ResNet18": "resnet8",
    "imagenet/MobileNetV1": "resnet20",
    "ResNet50": "resnet14",
    "resnet110": "resnet14",
    "resnet56": "resnet8",
    "resnet32x4": "resnet8x4",
    "wrn_40_2": "wrn_16_2",
    "vgg13": "vgg8",
}
"""What takes the place of large networks, which take a second each to look at."""
ODD_NUMBERS = (0, -1, 1, 3, 10, 10**9, 10**17, 10**18, 10**40, -(10**17), 2**31, 2**63, 0.5, -0.5, 1e-300, 1e300)
ODD_VALUES: tuple[Any, ...] = (
    *ODD_NUMBERS,
    *(
        float("nan"),
        float("inf"),
        -float("inf"),
        True,
        False,
        None,
        "",
        " ",
        "x" * 5_000,
        "1e-3",
        "ä→\u2028é\U0001f600",
    ),
    *([], {}, [[]], [[1, 2], [3]], {"range": [0, 1]}, {"range": [1, 0]}, {"range": [1, 9], "step": 1e-9}),
    *({"range": [1e-9, 1e9], "log": True}, {"choice": [1, 2]}, {"choice": []}, {"choice": [[1], {"a": 2}]}),
    *(["kd", "kd"], ["kd", {"dhkd": {"alpha": [1, 2]}}], {"kd": {}}, "resnet8 -> resnet8", ["resnet8 -> resnet8"]),
)
KEYS = ("", "epochs", "range", "choice", "step", "base", "recipe", "methods", "seeds", "k", "Ä", "x" * 300, "null", "1")
LINES = (
    "\tname: tab\n",
    "name: again\n",
    "a: &a [x, x, x]\nb: &b [*a, *a, *a]\nc: [*b, *b, *b]\n",
    "methods: &m [kd, *m]\n",
    "<<: {name: merged}\n",
    "seeds: 1:30:30\n",
    f"seeds: {':'.join(['59'] * 3_000)}\n",
    f"seeds: 0x{'f' * 5_000}\n",
    f"seeds: {'9' * 5_000}\n",
    "? [a, b]\n: c\n",
    "--- \n",
    "...\n",
    "%YAML 3.0\n",
    "[" * 2_000 + "\n",
    "- " * 500 + "\n",
    "{a: " * 400 + "\n",
    "description: |\n  text\n\ttab\n",
    "'\n",
    "!!python/object/apply:os.getcwd []\n",
    "!!float x\n",
    '"\\ud800"\n',
    "#\n",
)
BYTES = (b"\xff", b"\x00", b"\xef\xbb\xbf", b"\r", b"\t", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\x1b[2J", b"\x85")


def mutated(draw: random.Random) -> bytes:
    """A shipped spec after one to four changes, on data that every machine has."""
    name = draw.choice(sorted(shipped_specs()))
    text = made_small(shipped_specs()[name].read_text())
    for _ in range(draw.choice([1, 1, 2, 4])):
        change = draw.choice((_other_value, _other_value, _other_tree, _other_tree, _other_text))
        text = change(draw, text)
    data = text.encode("utf-8", "surrogatepass")
    if draw.random() < 0.1:
        place = draw.randrange(len(data) + 1)
        data = data[:place] + draw.choice(BYTES) + data[place:]
    return data


def made_small(text: str) -> str:
    """A spec on the digits, which come with the project, and on small networks."""
    for large_one, small in SMALLER.items():
        text = text.replace(large_one, small)
    return re.sub(r"^dataset:.*\n(?:[ ]+.*\n)*", DATASET, text, flags=re.MULTILINE)


def _other_value(draw: random.Random, text: str) -> str:
    """A number or a word of the text itself becomes something else."""
    found = list(re.finditer(r"(?<=[:\[,] )[\w.+-]+", text))
    if not found:
        return text
    word = draw.choice(found)
    value = yaml.safe_dump(draw.choice(ODD_VALUES), default_flow_style=True, allow_unicode=True, width=10**6)
    return text[: word.start()] + value.removesuffix("\n").removesuffix("...").strip() + text[word.end() :]


def _other_tree(draw: random.Random, text: str) -> str:
    """Something of the tree is gone, doubled, renamed, moved or wrapped."""
    try:
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text
    places = list(_places(tree))
    if not places:
        return text
    change = draw.choice((_gone, _doubled, _renamed, _moved, _wrapped, _replaced))
    change(draw, tree, draw.choice(places), draw.choice(places))
    try:
        return yaml.safe_dump(tree, allow_unicode=True, sort_keys=False, width=draw.choice([80, 10**6]))
    except (yaml.YAMLError, RecursionError, ValueError):
        return text


def _other_text(draw: random.Random, text: str) -> str:
    """Lines are inserted, doubled, lost, swapped or cut off."""
    lines = text.splitlines(keepends=True) or [""]
    at = draw.randrange(len(lines))
    kind = draw.choice(("insert", "insert", "double", "lose", "swap", "cut", "indent"))
    if kind == "insert":
        lines.insert(at, draw.choice(LINES))
    elif kind == "double":
        lines.insert(at, lines[at])
    elif kind == "lose":
        del lines[at]
    elif kind == "swap":
        other = draw.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    elif kind == "cut":
        lines[at:] = [lines[at][: draw.randrange(len(lines[at]) + 1)]]
    else:
        lines[at] = draw.choice((" ", "\t", "    ")) + lines[at]
    return "".join(lines)


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every key of a mapping and every place of a list, with what holds it."""
    found: list[tuple[Any, Any]] = []
    if isinstance(tree, dict | list):
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        for key in keys:
            found.append((tree, key))
            found += _places(tree[key])
    return found


Place = tuple[Any, Any]


def _gone(draw: random.Random, tree: Any, place: Place, other: Place) -> None:
    del place[0][place[1]]


def _doubled(draw: random.Random, tree: Any, place: Place, other: Place) -> None:
    holder, key = place
    if isinstance(holder, list):
        holder.insert(key, holder[key])
    else:
        holder[draw.choice(KEYS)] = holder[key]


def _renamed(draw: random.Random, tree: Any, place: Place, other: Place) -> None:
    holder, key = place
    if isinstance(holder, dict):
        holder[draw.choice((*KEYS, f"{key}s", str(key)[::-1]))] = holder.pop(key)


def _moved(draw: random.Random, tree: Any, place: Place, other: Place) -> None:
    place[0][place[1]] = yaml.safe_load(yaml.safe_dump(other[0][other[1]]))  # a copy: no tree holds itself


def _wrapped(draw: random.Random, tree: Any, place: Place, other: Place) -> None:
    holder, key = place
    value = holder[key]
    around = ([value], [[value]], [value, value], [[value], [value]], {"range": [value, value]}, {"choice": [value]})
    holder[key] = draw.choice((*around, {draw.choice(KEYS): value}, {"range": [0, value]}, {"choice": [value, 7]}))


def _replaced(draw: random.Random, tree: Any, place: Place, other: Place) -> None:
    place[0][place[1]] = draw.choice(ODD_VALUES)


# -- large ones ------------------------------------------------------------------------------------------------------


def large(draw: random.Random) -> bytes:
    """A spec of one section, or several, that are far larger than anybody means; some are just small enough."""
    sections = {
        "name": "large",
        "dataset": "{digits: {image_size: 8}}",
        "recipe": "{base: digits, epochs: 3}",
        "pairs": "[resnet14 -> resnet8]",
        "methods": "[kd]",
    }
    for change in draw.sample(LARGE, draw.choice([1, 1, 1, 2])):
        sections |= change(draw)
    return "".join(f"{key}: {value}\n" for key, value in sections.items()).encode()


def _some(draw: random.Random) -> int:
    return draw.choice([50, 300, 1_000, 2_000, 5_000, 9_000, 20_000])


def _numbers(count: int, step: float = 0.001) -> str:
    return ", ".join(f"{step * (number + 1):.6g}" for number in range(count))


def _one_grid(draw: random.Random) -> Tree:
    return {"methods": f"[dhkd: {{alpha: [{_numbers(_some(draw))}]}}]"}


def _two_grids(draw: random.Random) -> Tree:
    first, second = draw.choice([(60, 60), (100, 100), (300, 300), (2, 5_000)])
    return {"methods": f"[kd: {{alpha: [{_numbers(first)}], temperature: [{_numbers(second, 0.01)}]}}]"}


def _five_grids(draw: random.Random) -> Tree:
    values = _numbers(draw.choice([4, 6, 9, 40]), 0.1)
    fields = ", ".join(f"{name}: [{values}]" for name in ("ce_weight", "w0", "w1", "w2", "temperature"))
    return {"methods": f"[gdkd: {{{fields}}}]"}


def _many_grids(draw: random.Random) -> Tree:
    grid = f"{{kd: {{alpha: [{_numbers(15)}], temperature: [{_numbers(15)}], ce_weight: [{_numbers(15)}]}}}}"
    return {"methods": f"[{', '.join([grid] * draw.choice([3, 100, 400]))}]"}


def _recipe_grid(draw: random.Random) -> Tree:
    field = draw.choice(["lr", "weight_decay"])
    return {"recipe": f"{{base: digits, epochs: 3, {field}: [{_numbers(_some(draw))}]}}"}


def _cuts_grid(draw: random.Random) -> Tree:
    return {"recipe": f"{{base: digits, split_seed: [{', '.join(map(str, range(_some(draw))))}]}}"}


def _grid_of_grids(draw: random.Random) -> Tree:
    inner = f"[{', '.join(str(number + 1) for number in range(draw.choice([3, 50, 99, 300])))}]"
    field, method = draw.choice([("temperatures", "mlkd"), ("temperatures", "sld"), ("alpha", "kd")])
    return {"methods": f"[{method}: {{{field}: [{', '.join([inner] * draw.choice([3, 40, 400]))}]}}]"}


def _milestones(draw: random.Random) -> Tree:
    lists = ", ".join(f"[1, {number + 2}]" for number in range(_some(draw)))
    return {"recipe": f"{{base: digits, epochs: 3, milestones: [{lists}]}}"}


def _choice(draw: random.Random) -> Tree:
    return {"methods": f"[kd: {{alpha: {{choice: [{_numbers(_some(draw))}]}}}}]"}


def _two_choices(draw: random.Random) -> Tree:
    values = f"{{choice: [{_numbers(draw.choice([20, 60, 80, 300]))}]}}"
    return {"methods": f"[kd: {{alpha: {values}, temperature: {values}}}]"}


def _joint_choices(draw: random.Random) -> Tree:
    values = f"{{choice: [{_numbers(draw.choice([20, 60, 300]))}]}}"
    return {"methods": f"[kd: {{alpha: {values}}}]", "recipe": f"{{base: digits, lr: {values}}}"}


def _choices_in_a_grid(draw: random.Random) -> Tree:
    values = _numbers(draw.choice([30, 70, 1_000]))
    return {"methods": f"[kd: {{alpha: {{choice: [{values}]}}, temperature: [{values}]}}]"}


def _tiny_steps(draw: random.Random) -> Tree:
    ends = draw.choice(["[0, 1]", "[0, 1e308]", "[0, 1e30]", "[1e-300, 1e300]"])
    step = draw.choice(["1e-9", "1e-300", "1e-4", "0.1"])
    sampler = draw.choice(["tpe", "grid", "brute_force", "qmc"])
    return {
        "methods": f"[kd: {{alpha: {{range: {ends}, step: {step}}}}}]",
        "search": f"{{sampler: {sampler}, trials: 10000, confirm: {draw.choice([1, 10**9])}}}",
    }


def _keys(draw: random.Random) -> Tree:
    keys = ", ".join(f"key{number}: {number}" for number in range(_some(draw)))
    return draw.choice(
        [
            {"recipe": f"{{{keys}}}"},
            {"methods": f"[kd: {{{keys}}}]"},
            {"dataset": f"{{{keys}}}"},
            {"budget": f"{{{keys}}}"},
        ]
    )


def _sections(draw: random.Random) -> Tree:
    return {f"section{number}": "1" for number in range(_some(draw))}


def _pairs(draw: random.Random) -> Tree:
    names = ["resnet8", "resnet14", "resnet20", "vgg8", "nonesuch"]
    values = draw.choice(["", ": {recipe: {lr: 0.02}}", ": {methods: {kd: {alpha: 0.5}}}"])
    many = (f"{draw.choice(names)} -> {draw.choice(names)}{values}" for _ in range(_some(draw) // 2))
    return {"pairs": f"[{', '.join(many)}]"}


def _files(draw: random.Random) -> Tree:
    return {"pairs": f"[{', '.join(f'nowhere{number}.pth -> resnet8' for number in range(_some(draw) // 4))}]"}


def _methods(draw: random.Random) -> Tree:
    return {"methods": f"[{', '.join(draw.choice(['kd', 'dhkd', 'fitnet', 'nonesuch']) for _ in range(_some(draw)))}]"}


def _seeds(draw: random.Random) -> Tree:
    listed = f"[{', '.join(map(str, range(_some(draw))))}]"
    return {"seeds": draw.choice([listed, "10000", "10001", f"[{'9' * 17}, {'9' * 30}]", str(10**17)])}


def _numbers_of_work(draw: random.Random) -> Tree:
    number = draw.choice(["99999999999999", "100000", str(10**18), "1e18"])
    field = draw.choice(["epochs", "batch_size", "pad", "cutout", "randaugment_ops", "samples_per_class", "split_seed"])
    return {"recipe": f"{{base: digits, {field}: {number}}}"}


def _sizes_of_methods(draw: random.Random) -> Tree:
    number = draw.choice(["99999999999999", str(10**17), "1000000"])
    methods = ("dhkd: {hidden: N}", "crd: {dim: N}", "crd: {negatives: N}", "reviewkd: {mid_channels: N}")
    others = ("simkd: {factor: N}", "catkd: {resolution: N}", "at: {p: N}", "fitnet: {hint_stage: N}", "gdkd: {k: N}")
    return {"methods": f"[{draw.choice(methods + others).replace('N', number)}]"}


def _long_numbers(draw: random.Random) -> Tree:
    digits = draw.choice([101, 5_000, 60_000])
    number = draw.choice(["1" + ":59" * digits, "0x" + "f" * digits, "9" * digits, "0b" + "1" * digits, "1_" * digits])
    key = draw.choice(["seeds", "description", "recipe", "methods"])
    return {key: {"recipe": f"{{epochs: {number}}}", "methods": f"[kd: {{alpha: {number}}}]"}.get(key, number)}


def _deep(draw: random.Random) -> Tree:
    depth = draw.choice([50, 150, 250, 400, 5_000])
    return {draw.choice(["dataset", "methods", "seeds", "pairs"]): "[" * depth + "1" + "]" * depth}


def _laughs(draw: random.Random) -> Tree:
    names = [f"x{number}" for number in range(draw.choice([9, 200, 3_000]))]
    tree = {"a": "&x [lol, lol, lol]"}
    for before, name in zip(["x", *names], names, strict=False):
        tree[name] = f"&{name} [{', '.join([f'*{before}'] * 9)}]"
    return tree


def _long_text(draw: random.Random) -> Tree:
    length = draw.choice([1_000, 150_000, 500_000])
    key = draw.choice(["name", "description", "baseline", "x" * length])
    return {key: "y" * length}


LARGE: tuple[Callable[[random.Random], Tree], ...] = (
    *(_one_grid, _two_grids, _five_grids, _many_grids, _recipe_grid, _cuts_grid, _grid_of_grids, _milestones),
    *(_choice, _two_choices, _joint_choices, _choices_in_a_grid, _tiny_steps, _keys, _sections, _pairs, _files),
    *(_methods, _seeds, _numbers_of_work, _sizes_of_methods, _long_numbers, _deep, _laughs, _long_text),
)
