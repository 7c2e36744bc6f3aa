"""Steps told from the nodes that Kubeflow Pipelines lists."""

import json
from types import SimpleNamespace

import pytest
from kfp_server_api import ApiClient

from dico_pipelines.cluster.steps import node_id_of, steps_of
from tests.pipelines.cluster.argo import Workflow, node_id


def details(workflow):
    """The nodes as the real client gives them."""
    response = SimpleNamespace(data=json.dumps(workflow.task_details()))
    return ApiClient().deserialize(response, "list[V2beta1PipelineTaskDetail]")


@pytest.mark.parametrize(("text", "digest"), [("a", 0xE40C292C), ("foobar", 0xBF9CF968)])
def test_ids_are_hashes_of_paths(text, digest):
    assert node_id_of("w", text) == f"w-{digest}"
    assert node_id_of("w", "w") == "w"


def test_each_step_has_its_state_and_the_ids_of_its_pods():
    workflow = (
        Workflow("dico-x7k2p")
        .begin()
        .step("preflight", "Succeeded")
        .step("validate-dataset", "Omitted")
        .step("train-evaluator", "Failed", tries=2)
        .step("check-pod", "Pending")
        .step("resolve-config", "", driver="Pending")
    )
    steps = {step.name: step for step in steps_of(details(workflow))}
    assert {name: step.state for name, step in steps.items()} == {
        "preflight": "done",
        "validate-dataset": "cached",
        "train-evaluator": "failed",
        "check-pod": "pending",
        "resolve-config": "pending",
    }
    assert next(iter(steps)) == "preflight"
    group = "dico-x7k2p.root(0).exit-handler-1(0)"
    assert steps["train-evaluator"].node_ids == tuple(
        node_id("dico-x7k2p", f"{group}.train-evaluator(0).executor({number})")
        for number in range(2)
    )
    assert (steps["preflight"].ended - steps["preflight"].started).total_seconds() == 8
    assert steps["check-pod"].ended is None
    driver = node_id("dico-x7k2p", f"{group}.resolve-config-driver(0)")
    assert steps["resolve-config"].node_ids == (driver,)


def test_a_driver_that_fails_fails_its_step():
    workflow = Workflow("dico-1-2").begin().step("preflight", "", driver="Failed")
    (step,) = steps_of(details(workflow))
    assert (step.name, step.state) == ("preflight", "failed")


def test_a_run_that_has_not_begun_has_no_steps():
    assert steps_of([]) == []
