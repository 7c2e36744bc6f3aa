"""Every overlay renders; its objects are what the published schemas take; its pods are restricted."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kubeflow_trainer_api.models import TrainerV1alpha1TrainingRuntime
from kubernetes.client import models

from dico_components.image import IMAGE
from dico_pipelines.cluster.prechecks import ACCOUNTS
from dico_pipelines.gitops import objects_of
from tests.manifests.conftest import MANIFESTS
from tests.manifests.pod_security import findings
from tests.manifests.pods import PIPELINES, pods_of, step_pods
from tests.pipelines.cluster.kfp_server import KfpServer, serving
from tests.published_models import mistakes

OVERLAYS = sorted(path.parent.name for path in MANIFESTS.glob("overlays/*/kustomization.yaml"))
BUILT_IN = {
    "ConfigMap", "Job", "LimitRange", "NetworkPolicy", "PersistentVolumeClaim", "ResourceQuota",
    "Role", "RoleBinding", "Secret", "ServiceAccount",
}  # fmt: skip
OTHERS = {
    "ClusterQueue", "InferenceService", "LocalQueue", "Pipeline", "PipelineVersion",
    "ResourceFlavor", "TrainingRuntime",
}  # fmt: skip


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A copy of the manifests, for what a person adds to them."""
    return shutil.copytree(MANIFESTS, tmp_path_factory.mktemp("manifests") / "manifests")


@pytest.fixture(scope="module")
def with_everything(copied, render):
    """The overlay prod with the optional components, and the Secret from its example."""
    prod = copied / "overlays" / "prod" / "kustomization.yaml"
    added = [f"  - ../../components/{name}\n" for name in ("trainer", "kueue", "schedule")]
    prod.write_text(prod.read_text().replace("components:\n", "components:\n" + "".join(added)))
    shutil.copy(copied / "secret" / "secret.env.example", copied / "secret" / "secret.env")
    return [*render(prod.parent), *render(copied / "secret"), *render("doctor")]


@pytest.fixture(scope="module")
def everything(render, with_everything):
    return [*with_everything, *(item for name in OVERLAYS for item in render(f"overlays/{name}"))]


def kinds(objects):
    return {item["kind"] for item in objects}


def test_all_overlays_are_there():
    assert OVERLAYS == ["dev", "gitops", "irsa", "prod", "profile", "serving", "standalone"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_renders_into_one_namespace(render, name):
    objects = render(f"overlays/{name}")
    assert len({item["metadata"]["namespace"] for item in objects}) == 1
    # The pipelines of GitOps are Kubeflow's own objects, without our labels.
    ours = [item for item in objects if not item["kind"].startswith("Pipeline")]
    labels = [item["metadata"].get("labels", {}) for item in ours]
    parts = [label.get("app.kubernetes.io/part-of") for label in labels]
    assert parts.count("dico") >= len(ours) - 2


@pytest.mark.parametrize("name", ["standalone", "profile"])
def test_a_namespace_that_kubeflow_made_gets_a_claim_and_nothing_else(render, name):
    """Nothing that limits or closes it, and nothing of Kubeflow's by the same name."""
    (claim,) = render(f"overlays/{name}")
    assert (claim["kind"], claim["metadata"]["name"]) == ("PersistentVolumeClaim", "dico")
    home = {"standalone": ("kubeflow", ["ReadWriteOnce"]), "profile": ("dico", ["ReadWriteMany"])}
    assert (claim["metadata"]["namespace"], claim["spec"]["accessModes"]) == home[name]


def test_the_doctor_comes_in_the_image_that_a_fresh_installation_has(render):
    """The one that `make image` makes and `kind load` loads; a registry in its name has it nowhere."""
    (job,) = render("doctor")
    pod = job["spec"]["template"]["spec"]
    assert [container["image"] for container in pod["containers"]] == [IMAGE]
    assert pod["serviceAccountName"] == ACCOUNTS[False]


@pytest.mark.parametrize("name", ["standalone", "profile"])
def test_trainer_is_added_as_the_overlay_says(copied, render, name):
    path = copied / "overlays" / name / "kustomization.yaml"
    before, _, comments = path.read_text().partition("# Several nodes, where Kubeflow Trainer")
    added = [line.removeprefix("# ") for line in comments.splitlines()[1:]]
    text = "\n".join(line for line in added if line not in ("and under patches:", "patches:"))
    patches = "" if "patches:" in before else "patches:\n"
    folder = path.parent.with_name(f"{name}-trainer")
    folder.mkdir()
    head, _, rest = text.partition("\n")
    body = before + patches + rest + "\n" + head + "\n"
    (folder / "kustomization.yaml").write_text(body)
    objects = {item["kind"]: item for item in render(folder)}
    assert "TrainingRuntime" in objects
    account = {"standalone": "pipeline-runner", "profile": "default-editor"}[name]
    (subject,) = objects["RoleBinding"]["subjects"]
    assert subject["name"] == account
    assert subject["namespace"] == objects["Role"]["metadata"]["namespace"]


OF_OTHERS = {"trainer.kubeflow.org", "serving.kserve.io", "kueue.x-k8s.io", "kubeflow.org"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_kinds_of_other_projects_are_only_where_their_name_is(render, name):
    groups = {item["apiVersion"].rpartition("/")[0] for item in render(f"overlays/{name}")}
    assert groups & OF_OTHERS == ({"serving.kserve.io"} if name == "serving" else set())


def test_objects_of_kubernetes_are_what_it_takes(everything):
    assert kinds(everything) == BUILT_IN | OTHERS
    for item in everything:
        if item["kind"] in BUILT_IN:
            found = list(mistakes(item, f"V1{item['kind']}", models, item["kind"]))
            assert found == [], item["metadata"]["name"]


def test_the_runtime_is_one_that_trainer_takes(everything):
    runtimes = [item for item in everything if item["kind"] == "TrainingRuntime"]
    assert runtimes
    for item in runtimes:
        # The published model drops what it does not know, so what comes back whole is known.
        assert TrainerV1alpha1TrainingRuntime.from_dict(item).to_dict() == item


def test_schemas_by_kubernetes_validate(with_everything):
    validate = pytest.importorskip(
        "kubernetes_validate", reason="pip install 'dico-captioner[manifests]'"
    )
    for item in with_everything:
        if item["kind"] in BUILT_IN:
            validate.validate(item, validate.latest_version(), strict=True)


def test_every_pod_of_the_manifests_is_restricted(everything):
    pods = [pod for item in everything for pod in pods_of(item)]
    assert len(pods) >= 5
    for pod in pods:
        assert findings(pod) == []


@pytest.mark.parametrize("pipeline", sorted(PIPELINES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_pod_of_the_pipelines_is_restricted(pipeline):
    pods = dict(step_pods(pipeline))
    assert pods
    for name, pod in pods.items():
        assert findings(pod) == [], name


def test_every_container_has_limits_a_pinned_image_and_a_root_that_nobody_writes(everything):
    containers = [
        container
        for item in everything
        for pod in pods_of(item)
        for container in pod["spec"]["containers"]
    ]
    for container in containers:
        assert container["resources"]["limits"].keys() >= {"cpu", "memory"}
        assert ":" in container["image"].rpartition("/")[2]
        assert not container["image"].endswith(":latest")
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_roles_are_least(everything):
    roles = [item for item in everything if item["kind"] == "Role"]
    assert roles
    for rule in [rule for role in roles for rule in role["rules"]]:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        if "secrets" in rule["resources"]:
            assert (rule["verbs"], rule["resourceNames"]) == (["get"], ["dico"])
    assert "ClusterRole" not in kinds(everything)


def test_the_role_covers_what_a_training_asks_for(with_everything):
    named = {item["metadata"]["name"]: item for item in with_everything if item["kind"] == "Role"}
    role = named["dico-trainer"]
    verbs = {
        resource: set(rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]
    }
    assert verbs["trainjobs"] == {"create", "get", "list", "watch", "delete"}
    assert verbs["pods"] >= {"get", "list"}
    assert verbs["pods/log"] >= {"get"}


@pytest.mark.parametrize("name", ["dev", "prod", "irsa", "gitops"])
def test_the_network_is_closed_but_for_what_is_named(render, name):
    policies = {
        item["metadata"]["name"]: item["spec"]
        for item in render(f"overlays/{name}")
        if item["kind"] == "NetworkPolicy"
    }
    denied = policies.pop("deny-all")
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for spec in policies.values():
        for rule in spec.get("egress", []) + spec.get("ingress", []):
            assert rule.get("ports") or rule.get("from") or rule.get("to")


def test_nodes_of_a_training_reach_each_other(with_everything):
    objects = with_everything
    (runtime,) = [item for item in objects if item["kind"] == "TrainingRuntime"]
    (pod,) = pods_of(runtime)
    policies = {i["metadata"]["name"]: i for i in objects if i["kind"] == "NetworkPolicy"}
    selected = policies["allow-training"]["spec"]["podSelector"]["matchLabels"]
    assert selected.items() <= pod["metadata"]["labels"].items()


def test_mistakes_end_a_training_and_losses_of_nodes_do_not(with_everything):
    (runtime,) = [i for i in with_everything if i["kind"] == "TrainingRuntime"]
    (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    (rule,) = job["template"]["spec"]["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["values"] == [2, 65, 70, 77]  # neither 74 nor 75: try again


def test_the_pipelines_of_gitops_are_the_committed_ones():
    text = (MANIFESTS / "overlays" / "gitops" / "pipelines.yaml").read_text()
    committed = list(yaml.load_all(text, Loader=yaml.CSafeLoader))
    made = [entry for path in sorted(PIPELINES.glob("*.yaml")) for entry in objects_of(path)]
    for entry in committed + made:
        entry["spec"].get("pipelineSpec", {}).pop("sdkVersion", None)
    assert committed == made, "run: python -m dico_pipelines.gitops"


def test_secrets_are_not_committed():
    ignored = (MANIFESTS.parent / ".gitignore").read_text().splitlines()
    assert "/manifests/secret/secret.env" in ignored
    example = (MANIFESTS / "secret" / "secret.env.example").read_text()
    for line in example.splitlines():
        name, _, value = line.partition("=")
        assert not value or "KEY" not in name, name


def test_the_secret_has_the_keys_that_steps_read():
    from dico_pipelines.tasks import SECRET_KEYS

    example = (MANIFESTS / "secret" / "secret.env.example").read_text().splitlines()
    assert {line.partition("=")[0] for line in example if line} <= set(SECRET_KEYS)


def test_names_are_those_of_the_pipelines_defaults(with_everything):
    objects = {(item["kind"], item["metadata"]["name"]) for item in with_everything}
    specification = next(
        yaml.load_all(Path(PIPELINES / "dico.yaml").read_bytes(), yaml.CSafeLoader)
    )
    parameters = specification["root"]["inputDefinitions"]["parameters"]
    assert ("PersistentVolumeClaim", parameters["volume"]["defaultValue"]) in objects
    assert parameters["secret"]["defaultValue"] == "dico"
    assert ("TrainingRuntime", "dico") in objects


def test_the_job_makes_the_schedule(with_everything, tmp_path):
    (job,) = [item for item in with_everything if item["metadata"]["name"] == "dico-schedule"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (tmp_path / "token").write_text("s3cr3t")
    server = KfpServer()
    server.multi_user, server.token = True, "s3cr3t"
    with serving(server) as address:
        done = subprocess.run(
            [*container["command"], *container["args"]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOME": str(tmp_path),
                "NO_PROXY": "127.0.0.1",
                "KFP_ENDPOINT": address,
                "KFP_NAMESPACE": "dico",
                "KFP_TOKEN_FILE": str(tmp_path / "token"),
            },
        )
    assert done.returncode == 0, done.stderr
    assert server.refused == []
    (run,) = server.recurring
    assert run["display_name"] == "dico-weekly"
    assert run["service_account"] == "dico"
    assert run["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * 0"}}
