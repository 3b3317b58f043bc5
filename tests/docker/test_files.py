"""The image, the compose file and the Kubernetes manifest, held to their published schemas; no engine is needed."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.docker.compose import FOLDER, VARIABLE, compose

TOP = FOLDER.parent
TOOLS = Path(sys.executable).parent
SERVICES = compose()["services"]
KUBERNETES = "1.34"
SECRETS = ("ray_token", "postgres_password", "mlflow_password", "mlflow_secret_key")


def tool(name: str, *arguments: str) -> None:
    """Run a linter of the development environment, which must be content."""
    done = subprocess.run([str(TOOLS / name), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow(1)
def test_the_compose_file_keeps_to_the_compose_specification(tmp_path: Path) -> None:
    tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(FOLDER / "compose.yaml"))
    wrong = compose()
    wrong["services"]["head"]["comand"] = wrong["services"]["head"].pop("command")
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    with pytest.raises(AssertionError, match="comand"):
        tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(tmp_path / "wrong.yaml"))


def test_the_dockerfile_has_nothing_that_hadolint_minds() -> None:
    tool("hadolint", str(FOLDER / "Dockerfile"))


def test_the_image_is_made_of_what_lies_there() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$", text, re.MULTILINE)
    sources = [source for line in copied for source in line.split()]
    assert {"requirements.lock", "sweep", "docker/entrypoint.sh"} <= set(sources)
    let_in = [line[1:] for line in (TOP / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(set(sources)) == sorted(let_in)
    assert [source for source in sources if not (TOP / source).exists()] == []
    assert re.search(r"^USER \$UID$", text, re.MULTILINE)


def test_the_image_has_what_the_services_need() -> None:
    pinned = {line.partition("==")[0] for line in (TOP / "requirements.lock").read_text().splitlines()}
    assert {"ray", "aiohttp-cors", "mlflow", "flask-wtf", "psycopg", "psycopg-binary", "torch"} <= pinned


def test_ports_are_open_on_this_machine_alone_unless_the_user_says_otherwise() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"mlflow": ["127.0.0.1:5000:5000"], "head": ["127.0.0.1:8265:8265"]}
    assert compose(SWEEP_BIND="10.0.0.7")["services"]["head"]["ports"] == ["10.0.0.7:8265:8265"]


def test_every_secret_lies_in_a_file_and_has_no_default() -> None:
    files = {name: secret["file"] for name, secret in compose()["secrets"].items()}
    assert files == {name: f"./secrets/{name}" for name in SECRETS}
    named = set()
    for service in SERVICES.values():
        environment = service.get("environment", {})
        named |= {Path(value).name for value in environment.values() if value.startswith("/run/secrets/")}
        secret = [name for name in environment if re.search("PASSWORD|TOKEN|SECRET", name)]
        assert [name for name in secret if not environment[name].startswith("/run/secrets/")] == []
        assert {Path(environment[name]).name for name in secret} == set(service.get("secrets", ()))
    assert named == set(SECRETS)
    assert [name for name, _ in VARIABLE.findall((FOLDER / "compose.yaml").read_text()) if "PASS" in name] == []


def test_workers_know_nothing_of_mlflow_and_all_of_ray_has_a_token() -> None:
    for name in ("head", "worker", "gpu-worker"):
        assert SERVICES[name]["environment"]["RAY_AUTH_MODE"] == "token"
    for name in ("worker", "gpu-worker"):
        assert set(SERVICES[name]["environment"]) == {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"}
        assert SERVICES[name]["secrets"] == ["ray_token"]


def test_mlflow_alone_reaches_postgres_and_the_head_alone_mlflow() -> None:
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert networks == {
        "postgres": {"database"},
        "mlflow": {"database", "tracking"},
        "head": {"tracking", "cluster"},
        "worker": {"cluster"},
        "gpu-worker": {"cluster"},
    }
    declared = compose()["networks"]
    assert set(declared) == set.union(*networks.values())
    assert declared["database"] == {"internal": True}, "PostgreSQL has no business elsewhere"
    for name, needs in ((name, service.get("depends_on", ())) for name, service in SERVICES.items()):
        assert [other for other in needs if not networks[name] & networks[other]] == [], name


def test_images_that_are_fetched_can_be_pinned_by_digest() -> None:
    digest = "@sha256:" + "0" * 64
    pinned = compose(SWEEP_POSTGRES_IMAGE=f"postgres{digest}", SWEEP_PYTHON_IMAGE=f"python{digest}")["services"]
    assert pinned["postgres"]["image"] == f"postgres{digest}"
    assert pinned["head"]["build"]["args"]["PYTHON_IMAGE"] == f"python{digest}"
    text = (FOLDER / "Dockerfile").read_text()
    default = compose()["services"]["head"]["build"]["args"]["PYTHON_IMAGE"]
    assert f"ARG PYTHON_IMAGE={default}\n" in text
    stages = re.findall(r"^FROM (\S+)(?: AS (\w+))?$", text, re.MULTILINE)
    made_here = {name for _, name in stages}
    assert {base for base, _ in stages} - made_here == {"${PYTHON_IMAGE}"}


def test_every_service_is_looked_after() -> None:
    assert [name for name, service in SERVICES.items() if "healthcheck" not in service] == []
    assert [name for name, service in SERVICES.items() if service["restart"] != "unless-stopped"] == []
    needs = {name: set(service.get("depends_on", ())) for name, service in SERVICES.items()}
    assert needs == {
        "postgres": set(),
        "mlflow": {"postgres"},
        "head": {"mlflow"},
        "worker": {"head"},
        "gpu-worker": {"head"},
    }


def test_secrets_are_made_at_random_once_and_for_the_user_alone(tmp_path: Path) -> None:
    for folder in ("one", "other", "one"):
        subprocess.run([str(FOLDER / "make-secrets.sh"), str(tmp_path / folder)], check=True, capture_output=True)
    files = sorted(tmp_path.glob("*/*"))
    assert sorted(file.name for file in (tmp_path / "one").iterdir()) == sorted(SECRETS)
    assert len({file.read_text() for file in files}) == 2 * len(SECRETS)
    assert all(re.fullmatch("[0-9a-f]{64}", file.read_text()) for file in files)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_the_entrypoint_hands_on_secrets_from_files_and_refuses_empty_ones(tmp_path: Path) -> None:
    (tmp_path / "good").write_text('it\'s $HOME "quoted"\n')
    (tmp_path / "empty").touch()
    show = [str(FOLDER / "entrypoint.sh"), sys.executable, "-c", "import os, json; print(json.dumps(dict(os.environ)))"]
    plain = {"PATH": os.environ["PATH"], "PGUSER": "somebody"}
    done = subprocess.run(
        show, env=plain | {"PGPASSWORD_FILE": str(tmp_path / "good")}, capture_output=True, check=True
    )
    environment = json.loads(done.stdout)
    assert environment["PGPASSWORD"] == 'it\'s $HOME "quoted"'
    assert environment["PGUSER"] == "somebody"
    assert "PGPASSWORD_FILE" not in environment
    failed = subprocess.run(
        show, env=plain | {"PGPASSWORD_FILE": str(tmp_path / "empty")}, capture_output=True, text=True, check=False
    )
    assert failed.returncode == 2
    assert "PGPASSWORD must have a value" in failed.stderr


@pytest.mark.parametrize("script", ["entrypoint.sh", "make-secrets.sh"])
def test_the_scripts_are_shell_and_may_be_run(script: str) -> None:
    assert os.access(FOLDER / script, os.X_OK)
    subprocess.run([str(shutil.which("sh")), "-n", str(FOLDER / script)], check=True)


# -- Apptainer --------------------------------------------------------------------------------------------------------


def sections() -> dict[str, list[str]]:
    """The lines of each section of the definition, without comments; those before the first are its header."""
    found: dict[str, list[str]] = {"header": []}
    for line in (FOLDER / "apptainer.def").read_text().splitlines():
        section = re.fullmatch(r"%(\w+)", line)
        if section:
            found[section[1]] = []
        elif line.strip() and not line.lstrip().startswith("#"):
            list(found.values())[-1].append(line.strip())
    return found


def test_the_definition_has_the_base_the_files_and_the_environment_of_the_image() -> None:
    docker = (FOLDER / "Dockerfile").read_text()
    base = re.search(r"^ARG PYTHON_IMAGE=(.+)$", docker, re.MULTILINE)
    assert base
    assert sections()["header"] == ["Bootstrap: docker", f"From: {base[1]}"]
    copied = [line.split()[1:] for line in docker.splitlines() if re.match(r"COPY (?!--)", line)]
    files = [line.split() for line in sections()["files"]]
    assert {file for file, _ in files} == {file for *some, _ in copied for file in some if "docker" not in file}
    assert [place for file, place in files if place != f"/build/{file}"] == []
    assert [file for file, _ in files if not (TOP / file).exists()] == []
    exported = {line.removeprefix("export ") for line in sections()["environment"]}
    assert [line for line in exported if line not in docker] == []
    assert {line.partition("=")[0] for line in exported} >= {"PATH", "RAY_USAGE_STATS_ENABLED"}


def test_the_definition_installs_by_the_image_s_commands() -> None:
    post = sections()["post"]
    docker = " ".join((FOLDER / "Dockerfile").read_text().replace("\\\n", " ").split())
    for line in post:
        if line.split()[0] in ("uv", "pip"):
            assert line in docker, line
    assert sum(line.startswith("uv ") for line in post) == 4
    for name in ("post", "environment", "runscript", "test"):
        subprocess.run([str(shutil.which("sh")), "-n"], input="\n".join(sections()[name]), text=True, check=True)


# -- Kubernetes -------------------------------------------------------------------------------------------------------

MANIFEST: list[dict[str, Any]] = yaml.safe_load((FOLDER / "kuberay.yaml").read_text())["items"]
GROUP = {
    "type": "object",
    "additionalProperties": False,
    "required": ["template"],
    "properties": {
        "groupName": {"type": "string", "maxLength": 63},
        "serviceType": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
        "replicas": {"type": "integer", "minimum": 0},
        "minReplicas": {"type": "integer", "minimum": 0},
        "maxReplicas": {"type": "integer", "minimum": 0},
        "rayStartParams": {"type": "object", "additionalProperties": {"type": "string"}},
        "template": {"type": "object"},
    },
}
CLUSTER = {
    "type": "object",
    "additionalProperties": False,
    "required": ["headGroupSpec", "workerGroupSpecs"],
    "properties": {
        "rayVersion": {"type": "string"},
        "authOptions": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"mode": {"enum": ["disabled", "token"]}, "secretName": {"type": "string"}},
        },
        "headGroupSpec": GROUP,
        "workerGroupSpecs": {"type": "array", "items": GROUP | {"required": ["groupName", "template"]}},
    },
}
JOB = {
    "type": "object",
    "additionalProperties": False,
    "required": ["entrypoint", "rayClusterSpec"],
    "properties": {
        "entrypoint": {"type": "string"},
        "shutdownAfterJobFinishes": {"type": "boolean"},
        "ttlSecondsAfterFinished": {"type": "integer", "minimum": 0},
        "rayClusterSpec": CLUSTER,
    },
}
"""The fields of KubeRay's RayCluster and RayJob (ray.io/v1) that the manifest uses; whole, they are a megabyte."""


def groups() -> list[dict[str, Any]]:
    (cluster,) = [item["spec"] for item in MANIFEST if item["kind"] == "RayCluster"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def test_the_manifest_has_the_fields_of_kuberay() -> None:
    kinds = {item["kind"]: item for item in MANIFEST}
    assert list(kinds) == ["PersistentVolumeClaim", "RayCluster", "RayJob"]
    for kind, schema in (("RayCluster", CLUSTER), ("RayJob", JOB)):
        assert kinds[kind]["apiVersion"] == "ray.io/v1"
        Draft202012Validator(schema).validate(kinds[kind]["spec"])


def test_pods_and_volumes_of_the_manifest_keep_to_kubernetes() -> None:
    pods = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **group["template"]} for group in groups()]
    claims = [item for item in MANIFEST if item["kind"] == "PersistentVolumeClaim"]
    for thing in (*pods, *claims):
        kubernetes_validate.validate(thing, KUBERNETES, strict=True)
    wrong = pods[0] | {"spec": pods[0]["spec"] | {"contaners": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_the_manifest_keeps_secrets_to_the_head_and_names_the_version_that_is_pinned() -> None:
    head, *workers = (group["template"]["spec"]["containers"][0] for group in groups())
    assert all("secretKeyRef" in variable["valueFrom"] for variable in head["env"])
    assert [worker for worker in workers if "env" in worker] == []
    assert all(group["template"]["spec"]["securityContext"]["runAsNonRoot"] for group in groups())
    clusters = [item["spec"] for item in MANIFEST if item["kind"] == "RayCluster"]
    clusters += [item["spec"]["rayClusterSpec"] for item in MANIFEST if item["kind"] == "RayJob"]
    pinned = re.search(r"^ray==(.+)$", (TOP / "requirements.lock").read_text(), re.MULTILINE)
    assert pinned
    assert [cluster["rayVersion"] for cluster in clusters] == [pinned[1]] * 2
    assert [cluster["authOptions"] for cluster in clusters] == [{"mode": "token"}] * 2
