"""The run's summary, written whatever happened."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Output, PipelineTaskFinalStatus

from dico_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def summarise_run(
    pipeline: str,
    store: str,
    status: PipelineTaskFinalStatus,
    summary: Output[Artifact],
    page: Output[HTML],
    validation: Output[HTML],
):
    """Collects what the steps noted: how each went, and why one failed.

    Args:
        pipeline: Name of the pipeline.
        store: Folder or s3:// prefix of the notes; empty for the mounted work volume.
        status: How the run ended.

    Returns:
        summary: The summary as JSON; it is also kept in the store.
        page: The summary as a page.
        validation: The report on a dataset that was refused; none where it was accepted.
    """
    from dico.process.exits import exit_codes
    from dico.steps.summarise_run import summarise_run as run

    with exit_codes():
        run(
            pipeline=pipeline,
            state=status.state,
            store=store,
            output_summary=summary.path,
            output_page=page.path,
            output_validation=validation.path,
        )
