"""Step: what a training pod has, looked at from inside one before training starts."""

from dico.preflight import Finding, check_gpus, check_shared_memory, require


def check_pod(gpus: int) -> None:
    """Fails where a GPU is missing or cannot be used, or /dev/shm is too small for the ranks.

    Raises:
        PreflightError: names what is missing.
    """
    findings: list[Finding] = [check_gpus(gpus), check_shared_memory(required=gpus > 1)]
    for finding in findings:
        print(f"{'MISS' if finding.missing else 'ok  '}  {finding.subject:<14}{finding.found}")
    require(findings)
