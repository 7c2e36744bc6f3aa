"""What the doctor says of the cluster's own retries."""

import pytest

from dico_pipelines.cluster.health import describe_retries


def settings(strategy: str) -> dict[str, str]:
    return {"workflowDefaults": f"spec:\n  templateDefaults:\n    retryStrategy: {strategy}\n"}


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ("{limit: 2, retryPolicy: OnError}", "again, 2 times (OnError): a pod that is deleted"),
        ("{limit: 3}", "again, 3 times (OnFailure): a pod that ends with a code"),
        ("{retryPolicy: Always}", "again, any number of times (Always): every pod that fails"),
        ("{retryPolicy: OnTransientError}", "(OnTransientError): pods that fail for a passing"),
    ],
)
def test_the_controllers_policy_is_told(strategy, said):
    assert said in describe_retries(settings(strategy))


@pytest.mark.parametrize("left", [{}, {"workflowDefaults": ""}, {"workflowDefaults": "spec: {}"}])
def test_without_one_the_steps_try_again_by_themselves(left):
    assert describe_retries(left).startswith("no pod is started again by the cluster")
