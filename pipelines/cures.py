"""Advice on what Kubernetes says of a pod that cannot start, or that was taken away."""

import re

_CURES = (
    (r"persistentvolumeclaim .* not found", "apply manifests/overlays/..., or name one by volume="),
    (r"unbound immediate PersistentVolumeClaims", "give the claim a storage class that this cluster has: kubectl get storageclass"),
    (r"looking up service account|serviceaccount .* not found", "name an account that is there, or leave --service-account out"),
    (r"ErrImage|ImagePull|InvalidImageName", "push the image and give image=REGISTRY/dico@sha256:..., or load it into the nodes: kind load docker-image"),
    (r"[Vv]olume node affinity conflict|Multi-Attach", "the claim's volume is on another node: use a class with ReadWriteMany, or store=s3://... registry=s3://..."),
    (r"mlpipeline-minio-artifact", "the namespace is no profile of Kubeflow: make one (manifests/overlays/profile), or leave --namespace out"),
    (r"[Ss]ecret .* not found", "kubectl apply -k manifests/secret, in the namespace of the run"),
    (r"exceeded quota", "ask for less by cpu=, memory=, gpus=, or for a larger quota: kubectl describe quota"),
    (r"untolerated taint", "name the taints by tolerations="),
    (r"violates PodSecurity", "kubectl label namespace NAMESPACE --overwrite pod-security.kubernetes.io/enforce=baseline"),
    (r"Insufficient|Too many pods|didn't match Pod's node affinity", "ask for less by cpu=, memory=, gpus=, node_selector=, or add a node"),
    (r"workflow shutdown|exceeded its deadline|exceeded workflow deadline|Stopped with strategy", "somebody terminated the run; submit the same again, and it goes on from what is done"),
    (r"OOMKilled", "give more by memory=, or make the batches smaller"),
    (r"pod deleted|[Nn]ode.*(shutdown|shutting down)|low on resource|Evicted|[Pp]reempt|specified deadline", "submit the same again: a training goes on from its last checkpoint"),
)  # fmt: skip
"""What is said, and what to do; the first that fits holds."""


def with_cure(reason: str) -> str:
    """The reason, and what to do about it where that is known."""
    cure = next((cure for said, cure in _CURES if re.search(said, reason)), "")
    return f"{reason.rstrip('.')}; {cure}" if cure else reason
