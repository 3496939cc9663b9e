"""docs/kubernetes: what a cluster would take, and that its parts fit each other and the project.

Pods, volumes and services are held to Kubernetes' own schema, no unknown field allowed. KubeRay's definition of a
RayJob is in no registry: the fields that we use are held to those that its reference names, and to the definition
itself where ``KUBERAY_RAYJOB_CRD`` names its file (ray-operator/config/crd/bases/ray.io_rayjobs.yaml).
"""

import copy
import os
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml
from test_repository import HADOLINT, _hadolint

from autosam_platform.command_line import parse_job

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "kubernetes"

# Of https://ray-project.github.io/kuberay/reference/api.
RAYJOB = {
    *("entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "rayClusterSpec"),
    *("runtimeEnvYAML", "submissionMode", "suspend", "metadata", "jobId", "activeDeadlineSeconds"),
}
RAYCLUSTER = {
    "authOptions",
    "rayVersion",
    "enableInTreeAutoscaling",
    "autoscalerOptions",
    "headGroupSpec",
    "workerGroupSpecs",
}
AUTOSCALER = {"idleTimeoutSeconds", "env", "upscalingMode", "version", "resources"}
HEAD = {"rayStartParams", "template", "serviceType"}
WORKERS = HEAD - {"serviceType"} | {"groupName", "replicas", "minReplicas", "maxReplicas"}


def _documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / "rayjob.yaml").read_text(encoding="utf-8")))


def _rayjob() -> dict[str, Any]:
    return next(each for each in _documents() if each["kind"] == "RayJob")


def _groups(job: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def _checked(described: dict[str, Any]) -> None:
    kubernetes_validate.validate(described, kubernetes_validate.latest_version(), strict=True)


def _pod(group: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": group["template"]["spec"]}


def test_kubernetes_knows_every_field() -> None:
    others = [each for each in _documents() if each["kind"] != "RayJob"]
    pods = [_pod(group) for group in _groups(_rayjob())]
    assert [each["kind"] for each in others] == ["PersistentVolumeClaim"] * 2 + ["Deployment", "Service"]
    assert len(pods) == 2
    for each in [*others, *pods]:
        _checked(each)


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    wrong = copy.deepcopy(_pod(_groups(_rayjob())[0]))
    wrong["spec"]["containers"][0]["volumeMount"] = []
    with pytest.raises(kubernetes_validate.ValidationError, match="volumeMount"):
        _checked(wrong)


def test_kuberay_knows_every_field() -> None:
    job = _rayjob()
    cluster = job["spec"]["rayClusterSpec"]
    assert job["apiVersion"] == "ray.io/v1" and job["spec"].keys() <= RAYJOB
    assert cluster.keys() <= RAYCLUSTER and cluster["autoscalerOptions"].keys() <= AUTOSCALER
    assert cluster["headGroupSpec"].keys() <= HEAD
    for group in cluster["workerGroupSpecs"]:
        assert group.keys() <= WORKERS and {"groupName", "template", "minReplicas", "maxReplicas"} <= group.keys()
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in _groups(job):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_the_job_fits_kuberays_own_definition() -> None:
    place = os.environ.get("KUBERAY_RAYJOB_CRD")
    if place is None:
        pytest.skip("KUBERAY_RAYJOB_CRD does not name KubeRay's definition of a RayJob")
    definition = yaml.safe_load(Path(place).read_text(encoding="utf-8"))
    schema = next(each for each in definition["spec"]["versions"] if each["name"] == "v1")["schema"]["openAPIV3Schema"]
    jsonschema.validate(_rayjob(), schema)


def test_the_command_is_one_that_the_job_takes() -> None:
    python, script, *words = shlex.split(_rayjob()["spec"]["entrypoint"])
    assert python == "python" and script.startswith("/app/") and (ROOT / script.removeprefix("/app/")).is_file()
    checkpoint = words.index("--model.checkpoint")  # it is not here
    assert words[checkpoint + 1].startswith("/shared/")
    del words[checkpoint : checkpoint + 2]
    compute = parse_job(words, ROOT / "jobs" / "recipes", description="").compute
    assert (
        compute.gpu
        and compute.wait_for_nodes
        and compute.cpus_per_worker
        and (compute.min_workers, compute.workers) == (1, 8)
    )
    gpus = 0
    for group in _rayjob()["spec"]["rayClusterSpec"]["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        gpus += int(limits["nvidia.com/gpu"]) * group["maxReplicas"]
    assert gpus >= compute.workers, "the cluster can grow to what the job asks for"


def test_every_pod_has_the_workspace_the_token_and_the_record() -> None:
    documents = _documents()
    claims = {each["metadata"]["name"] for each in documents if each["kind"] == "PersistentVolumeClaim"}
    service = next(each for each in documents if each["kind"] == "Service")
    for group in _groups(_rayjob()):
        spec = group["template"]["spec"]
        (container,) = spec["containers"]
        mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        claimed = [each for each in spec["volumes"] if "persistentVolumeClaim" in each]
        named = {each["name"]: each["persistentVolumeClaim"]["claimName"] for each in claimed}
        assert set(named.values()) <= claims and named.keys() <= mounts.keys()
        environment = {each["name"]: each for each in container["env"]}
        assert environment["AUTOSAM_WORKSPACE"]["value"].startswith(mounts["shared"] + "/")
        host = f"http://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
        assert environment["MLFLOW_TRACKING_URI"]["value"] == host
        assert spec["securityContext"]["runAsNonRoot"]
    assert _rayjob()["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert not any(each["kind"] == "Secret" for each in documents), "no token is written down"


def test_ray_is_the_version_of_the_tests() -> None:
    assert _rayjob()["spec"]["rayClusterSpec"]["rayVersion"] == ray.__version__


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed")
def test_the_linter_finds_nothing_in_the_image() -> None:
    done = _hadolint(FOLDER / "Dockerfile")
    assert done.returncode == 0, done.stdout


def test_the_image_copies_what_is_there() -> None:
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    copied = [word for line in re.findall(r"^COPY (.*) \S+$", text, re.M) for word in line.split()]
    assert {"platform", "models", "jobs", "constraints.txt"} <= set(copied)
    assert all((ROOT / each).exists() for each in copied)
    rules = (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == set(copied)
