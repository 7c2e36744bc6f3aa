"""Whether a retraining would learn anything new."""

from kfp import dsl

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def detect_changes(
    fingerprint: str,
    champion_fingerprint: str,
    preset: str,
    overrides: str,
    champion_settings: str,
    force: bool,
    store: str,
) -> str:
    """Compares dataset and settings with those that the champion was made from.

    Args:
        fingerprint: SHA-256 over pictures, captions and splits.
        champion_fingerprint: That of the champion's dataset.
        preset: Name of the preset.
        overrides: Settings that were changed.
        champion_settings: Preset and overrides of the champion's run.
        force: Whether to train in any case.
        store: Folder or s3:// prefix that the step's note is left in.

    Returns:
        Output: "true" where there is something to learn, else "false".
    """
    from dico.process.exits import exit_codes
    from dico.report.run_notes import noted
    from dico.steps.detect_changes import detect_changes as step

    with exit_codes(), noted("detect_changes", store) as facts:
        facts["new"] = step(
            fingerprint=fingerprint,
            champion_fingerprint=champion_fingerprint,
            settings=f"{preset} {overrides}",
            champion_settings=champion_settings,
            force=force,
        )
        return facts["new"]
