"""Step: whether a retraining would learn anything that the champion does not know."""


def detect_changes(
    fingerprint: str,
    champion_fingerprint: str,
    settings: str,
    champion_settings: str,
    force: bool,
) -> str:
    """Compares dataset and settings with those that the champion was made from.

    Args:
        fingerprint: the dataset's, SHA-256 over pictures, captions and splits.
        champion_fingerprint: that of the champion's dataset.
        settings: preset and overrides of this run.
        champion_settings: preset and overrides of the champion's run.
        force: whether to train in any case.

    Returns:
        "true" where there is something to learn, else "false".
    """
    reasons = []
    if fingerprint != champion_fingerprint:
        reasons.append("the dataset changed")
    if settings.split() != champion_settings.split():
        reasons.append(f"the settings changed: {champion_settings!r} -> {settings!r}")
    if force:
        reasons.append("a training was asked for in any case")
    print("; ".join(reasons) or "nothing new: the champion was made from this dataset")
    return str(bool(reasons)).lower()
