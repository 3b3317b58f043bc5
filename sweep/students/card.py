"""A student's card: the ``README.md`` beside its files, in the form that model hubs read (YAML, then Markdown).

What nobody but the user knows, the licences, is left to be filled in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sweep.cost import latency
from sweep.formats import to_markdown
from sweep.plan.labels import shown
from sweep.students.about import About
from sweep.students.checking import Check
from trainers.machine import gpus, processor

MOST_CLASSES = 20
"""Whose names the card lists; ``student.json`` has them all."""
TO_FILL_IN = "*to be filled in*"
READS = {
    "float": "float32 in [0, 1] (pixels divided by 255, as torchvision's `ToTensor` gives them)",
    "uint8": "uint8, 0 to 255, as an image decoder gives them",
}
LOADING = {
    "safetensors": """\
from sweep.students.loading import load_student  # of the package kd-sweep
student = load_student("model.safetensors")
logits = student(images)  # a torch tensor [B, 3, {height}, {width}]: {reads}
""",
    "onnx": """\
import onnxruntime
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
(logits,) = session.run(["logits"], {{"images": images}})  # a NumPy array [B, 3, {height}, {width}]: {reads}
""",
    "torch-export": """\
import torch
student = torch.export.load("model.pt2").module()
logits = student(images)  # a torch tensor [B, 3, {height}, {width}]: {reads}
""",
}
"""Three lines for each format."""


def written(about: About, files: Mapping[str, Mapping[str, Any]]) -> str:
    """The card of a student.

    Args:
        about: what is known of it.
        files: those that lie beside it, as ``student.json`` describes them.
    """
    parts = [
        _head(about),
        f"# {_title(about)}\n\n{_summary(about)}",
        "## Use it\n\n" + "\n\n".join(_use(about, name, file) for name, file in files.items()),
        "## Images and classes\n\n" + _images(about),
        "## Accuracy\n\n" + _accuracy(about),
        *(["## Speed\n\n" + _speed(about)] if about.latency else []),
        "## Where it comes from\n\n" + _origin(about),
        "## Licences\n\n" + _licences(about),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


# -- what it is -------------------------------------------------------------------------------------------------------


def _title(about: About) -> str:
    data = about.config["dataset"]["name"]
    return f"{about.architecture} on {data}" + (f", taught by {about.teacher['architecture']}" if about.teacher else "")


def _head(about: About) -> str:
    """What model hubs read; JSON's texts are YAML's, whatever they hold."""
    words = json.dumps
    data, method = about.config["dataset"]["name"], about.config["method"]["name"]
    tags = ["image-classification", "knowledge-distillation", method, about.architecture]
    measured = {"type": "accuracy", "value": about.accuracy["test_acc"], "name": "top-1 test accuracy, %"}
    task = {"type": "image-classification"}
    result = {"task": task, "dataset": {"name": data, "type": data}, "metrics": [measured]}
    return "\n".join(
        [
            "---",
            "license:  # to be filled in: of these weights",
            "pipeline_tag: image-classification",
            f"tags: {words(tags, ensure_ascii=False)}",
            f"model-index: {words([{'name': _title(about), 'results': [result]}], ensure_ascii=False)}",
            "---",
        ]
    )


def _summary(about: About) -> str:
    mean, std = about.row_accuracy["mean"], about.row_accuracy["std"]
    spread = f" ± {std:.2f}" if std is not None else ""
    seeds = f"{about.row_accuracy['n']} seed" + ("s" if about.row_accuracy["n"] != 1 else "")
    size = f" {about.size['parameters']:,} parameters, {about.size['macs']:,} MACs an image." if about.size else ""
    how = f"It was taught by {about.teacher['architecture']} with the method" if about.teacher else "Its method is"
    return (
        f"A classifier of {about.images['classes']} classes, {about.accuracy['test_acc']:.2f} % top-1 on the test set;"
        f" its configuration has {mean:.2f}{spread} % over {seeds}. {how} `{about.row}`.{size}"
    )


def _use(about: About, name: str, file: Mapping[str, Any]) -> str:
    height, width = about.images["size"]
    reads = "float32 in [0, 1]" if file.get("pixels") == "float" else "uint8"
    kind = file["format"]
    reads = "uint8, or floats in [0, 1]" if kind == "safetensors" else reads
    code = LOADING[kind].format(height=height, width=width, reads=reads)
    return f"`{name}` ({_what(about, file)}):\n\n```python\n{code}```\n\nChecked when it was written: {_checked(file)}."


def _what(about: About, file: Mapping[str, Any]) -> str:
    if file["format"] == "safetensors":
        own = "; its network is the sweep's own code, which must be imported before" if about.config.get("code") else ""
        return f"the weights, without a graph{own}"
    opset = f"ONNX, opset {file['opset']}" if "opset" in file else f"a graph of `torch.export`, torch {file['torch']}"
    return f"{opset}; normalising included, for any number of images"


def _checked(file: Mapping[str, Any]) -> str:
    return f"it gives {Check(**file['check']).words}"


# -- images, classes, accuracy ----------------------------------------------------------------------------------------


def _images(about: About) -> str:
    height, width = about.images["size"]
    colours = {name: ", ".join(f"{value:.6g}" for value in about.images[name]) for name in ("mean", "std")}
    names = list(about.labels)
    listed = ", ".join(names[:MOST_CLASSES]) + (", … (all in `student.json`)" if len(names) > MOST_CLASSES else "")
    unnamed = "" if about.classes else " Their names are not known: these are numbers."
    return "\n".join(
        [
            f"- **In**: RGB images of {height} × {width} pixels, `[B, 3, {height}, {width}]`, not normalised:"
            f" {' or '.join(READS.values())}; each file says above which it reads. Images of another size are"
            " brought to this one before, as the data set's were: no file does that.",
            f"- **Normalised inside** by mean {colours['mean']} and standard deviation {colours['std']} (R, G, B; of"
            " pixels in [0, 1]).",
            f"- **Out**: logits, float32 `[B, {len(names)}]`; their softmax are probabilities.{_mixed(about)}",
            f"- **Classes**, in the order of the logits: {listed}.{unnamed}",
        ]
    )


def _mixed(about: About) -> str:
    """What DHO's logits are."""
    two = about.config["method"]["name"] == "dho"
    return " They are the log-probabilities of the two heads' mixture." if two else ""


def _accuracy(about: About) -> str:
    row, this = about.row_accuracy, about.accuracy
    spread = "–" if row["std"] is None else f"{row['std']:.2f}"
    top5 = this.get("test_acc5") if int(about.images["classes"]) > 10 else None
    lines = [
        (f"this student (seed {about.seed})", _percent(this["test_acc"]), "", "1", _percent(this.get("val_acc"))),
        (f"its configuration, `{about.row}`", _percent(row["mean"]), spread, str(row["n"]), ""),
    ]
    table = to_markdown(("", "top-1 test accuracy, %", "±", "seeds", "validation, %"), lines, right=(1, 2, 3, 4))
    told = [table + (f"\nTop-5 test accuracy of this student: {top5:.2f} %.\n" if top5 is not None else "")]
    told.append(
        "All after the last epoch, whose weights these are; ± is the sample standard deviation over seeds. Expect the"
        " configuration's mean of other images of the kind, not the number of one seed."
    )
    if about.chosen:
        told.append("Chosen: " + "; ".join(about.chosen) + ". Test accuracy chose no seed.")
    return "\n".join(told)


def _speed(about: About) -> str:
    """On the machine that exported it; of the architecture, which is what was timed."""
    more = {"simkd": "; SimKD's projector comes on top", "dho": "; DHO's second head comes on top"}
    beside = more.get(about.config["method"]["name"], "")
    return (
        f"A forward pass of {about.architecture} takes {latency.words(about.latency)}, in float32 and by torch, without"
        f" reading or scaling the images{beside}. Measured on {_machine(about)}."
    )


def _machine(about: About) -> str:
    """Whose latency it is, by the model of what computed it."""
    named = next(iter(gpus()), "") if about.latency[0]["device"] == "cuda" else processor()
    return named or "the machine that exported it"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


# -- where it comes from ----------------------------------------------------------------------------------------------


def _origin(about: About) -> str:
    data, method, recipe = about.config["dataset"], about.config["method"], about.config["recipe"]
    rows = [
        ("data set", f"`{data['name']}`{_options(data['options'])}, {_hash(data['content'])}"),
        ("teacher", _teacher(about.teacher)),
        ("method", f"`{method['name']}`{_options(method['params'])}"),
        ("recipe", _listed(recipe)),
        ("seed", str(about.seed)),
        ("sweep", f"`{about.sweep}`, {about.pair}, row `{about.row}`, trial `{about.key}`"),
        *([("trained with", _listed(about.made_with))] if about.made_with else []),
        *([("own code", _listed(about.config["code"]) + " (fingerprints)")] if about.config.get("code") else []),
    ]
    return to_markdown(("", ""), rows)


def _teacher(teacher: Mapping[str, Any] | None) -> str:
    if teacher is None:
        return "none"
    told = [f"`{teacher['architecture']}`, {_hash(teacher['hash'])}"]
    told += [f"{teacher['test_acc']:.2f} % top-1 on the test set"] if "test_acc" in teacher else []
    told += [f"from {teacher['came_from']}"] if "came_from" in teacher else ["its passport is not at hand"]
    return ", ".join(told)


def _hash(content: str) -> str:
    return f"content hash `{content}`" if content else "its content hash is not known"


def _options(options: Mapping[str, Any]) -> str:
    return f" ({_listed(options)})" if options else ""


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else shown(value)


def _licences(about: About) -> str:
    taught = [(f"the teacher's weights ({about.teacher['architecture']})", TO_FILL_IN)] if about.teacher else []
    rows = [
        ("these weights", TO_FILL_IN),
        (f"the training images ({about.config['dataset']['name']})", TO_FILL_IN),
        *taught,
        (f"the code of the architecture ({about.architecture})", TO_FILL_IN),
    ]
    return (
        to_markdown(("of", "licence"), rows)
        + "\nWho may use it for what, and what it must not be used for: "
        + TO_FILL_IN
    )
