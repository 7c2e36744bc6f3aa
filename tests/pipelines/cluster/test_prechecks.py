"""What is looked at before a run is sent, and what is then refused."""

import json
from pathlib import Path

import pytest

from dico.errors import UsageError
from dico_pipelines.cluster.submitting import submit
from tests.pipelines.cluster import kfp_server, kube_server
from tests.pipelines.cluster.kfp_server import KfpServer
from tests.pipelines.cluster.kube_server import KubeServer, node

PIPELINE = Path(__file__).parents[3] / "pipelines" / "caption.yaml"
PUSHED = f"image=registry.example/dico@sha256:{'0' * 64}"
GIVEN = ["inputs=/data/in", PUSHED]
BUCKET = [*GIVEN, "store=s3://bucket/store", "registry=s3://bucket/registry"]


@pytest.fixture
def server():
    return KfpServer()


@pytest.fixture
def cluster(server, monkeypatch, tmp_path):
    """A namespace that the kubeconfig leads to, and Kubeflow Pipelines in it."""
    for name in ("NAMESPACE", "TOKEN_FILE", "EXISTING_TOKEN", "CA_CERT"):
        monkeypatch.delenv(f"KFP_{name}", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    cluster = KubeServer()
    with kfp_server.serving(server) as address, kube_server.serving(cluster, tmp_path) as config:
        monkeypatch.setenv("KFP_ENDPOINT", address)
        monkeypatch.setenv("KUBECONFIG", str(config))
        yield cluster


def test_what_is_all_there_is_sent(server, cluster):
    submit(PIPELINE, GIVEN)
    assert len(server.runs) == 1


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (("serviceaccounts", "pipeline-runner"), {}, "account pipeline-runner is not in namespace kubeflow; Kubeflow makes it"),
        ((), {"service_account": "dico"}, "account dico is not in namespace kubeflow; .* pipeline-runner is then used"),
        (("persistentvolumeclaims", "dico"), {}, "claim dico is not in namespace kubeflow; apply"),
        ((), {"namespace": "dico"}, "runs everything in its own namespace, which dico is not"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_and_nothing_is_sent(server, cluster, change, options, words):
    cluster.objects.pop(change, None)
    with pytest.raises(UsageError, match=words):
        submit(PIPELINE, GIVEN, **options)
    assert server.runs == []


def test_everything_missing_is_named_at_once(cluster):
    cluster.objects = {("services", "ml-pipeline"): {}}
    with pytest.raises(UsageError, match=r"account .*; claim .*; image dico:0.1.0 is on no node"):
        submit(PIPELINE, ["inputs=/data/in"])


def test_what_may_not_be_read_is_left_to_the_server(server, cluster):
    cluster.objects = {}
    cluster.forbidden = {
        "serviceaccounts", "persistentvolumeclaims", "secrets", "services", "nodes", "namespaces",
    }  # fmt: skip
    submit(PIPELINE, ["inputs=/data/in"])
    assert len(server.runs) == 1


def test_a_claim_of_one_node_is_refused_where_there_are_several(server, cluster):
    cluster.nodes = [node("a"), node("control", taints=["node-role.kubernetes.io/control-plane"])]
    submit(PIPELINE, GIVEN)
    cluster.nodes.append(node("b"))
    with pytest.raises(UsageError, match=r"ReadWriteOnce, which one node mounts .* there are 2"):
        submit(PIPELINE, GIVEN)
    submit(PIPELINE, BUCKET)
    cluster.objects["persistentvolumeclaims", "dico"]["spec"]["accessModes"] = ["ReadWriteMany"]
    submit(PIPELINE, GIVEN)
    assert len(server.runs) == 3


def test_with_everything_in_a_bucket_no_pod_mounts_a_claim(server, cluster):
    del cluster.objects["persistentvolumeclaims", "dico"]
    submit(PIPELINE, BUCKET)
    assert server.refused == []
    sent = server.runs[0]["pipeline_spec"]
    text = str(sent)
    assert "pvcMount" not in text
    assert "DICO_WORK" not in text
    executors = sent["platform_spec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert all(pod["secretAsEnv"] for pod in executors.values())


def test_an_image_that_was_loaded_is_found_on_its_node(server, cluster):
    cluster.nodes = [node("a", images=["docker.io/library/dico:0.1.0"])]
    submit(PIPELINE, ["inputs=/data/in"])
    assert len(server.runs) == 1


def test_a_missing_secret_is_noted_where_a_bucket_is_used(cluster, capsys):
    del cluster.objects["secrets", "dico"]
    submit(PIPELINE, GIVEN)
    assert "note" not in capsys.readouterr().out
    submit(PIPELINE, BUCKET)
    assert "note: Secret dico is not in namespace kubeflow" in capsys.readouterr().out


def test_a_namespace_that_is_no_profile_is_refused(server, cluster):
    server.multi_user, cluster.namespace = True, "team"
    cluster.objects["serviceaccounts", "default-editor"] = {}
    with pytest.raises(UsageError, match="namespace team is no profile of Kubeflow"):
        submit(PIPELINE, GIVEN, namespace="team")
    cluster.labels = {"app.kubernetes.io/part-of": "kubeflow-profile"}
    submit(PIPELINE, GIVEN, namespace="team")
    assert len(server.runs) == 1


def test_without_a_kubeconfig_only_the_images_name_is_looked_at(
    server, cluster, monkeypatch, capsys
):
    monkeypatch.delenv("KUBECONFIG")
    submit(PIPELINE, ["inputs=/data/in"], namespace="elsewhere")
    said = capsys.readouterr().out
    assert "note: image dico:0.1.0 has no registry in its name" in said
    assert "in its own namespace, whatever is asked for: not to elsewhere" in said
    submit(PIPELINE, GIVEN)
    assert "note" not in capsys.readouterr().out


def test_a_kubeconfig_that_cannot_be_used_is_named(server, cluster, monkeypatch, tmp_path, capsys):
    content = json.loads((tmp_path / "kubeconfig").read_text())
    (tmp_path / "kubeconfig").write_text(json.dumps(content | {"current-context": "gone"}))
    submit(PIPELINE, GIVEN)
    said = capsys.readouterr().out
    assert "note: what the pods need was not looked at: " in said
    assert (
        f"{tmp_path / 'kubeconfig'}: Invalid kube-config file. Expected object with name gone"
        in said
    )
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    submit(PIPELINE, GIVEN)
    assert f"{tmp_path / 'none'}: Invalid kube-config" in capsys.readouterr().out
    assert len(server.runs) == 2


def test_a_kubernetes_that_refuses_the_login_is_asked_once(server, cluster, capsys):
    cluster.has_expired = True
    submit(PIPELINE, GIVEN)
    said = capsys.readouterr().out
    assert "was not looked at: http://127.0.0.1:" in said
    assert "refuses the kubeconfig's login, which may have expired" in said
    assert cluster.num_asked == 1
    assert len(server.runs) == 1
