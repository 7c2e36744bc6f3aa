"""TensorBoard event files: one folder a stage, below the folder of its run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dico.tracking.callback import Callback, Sample, Stage
from dico.tracking.thumbnail import pixels


class TensorBoardTracker(Callback):
    """Writes values as scalars, captions as text and their images beside them."""

    def __init__(self, folder: str) -> None:
        """Writes below ``folder``."""
        self._folder = Path(folder)

    def started(self, stage: Stage) -> int:
        """Opens the stage's folder; the last step that its files hold."""
        from torch.utils.tensorboard import SummaryWriter

        folder = self._folder / (stage.run or "run") / stage.name
        last = _last_step(folder)
        self._writer = SummaryWriter(str(folder))
        if last < 0 and stage.settings:
            rows = [f"| {name} | {value} |" for name, value in stage.settings.items()]
            table = "\n".join(["| setting | value |", "|---|---|", *rows])
            self._writer.add_text("settings", table, 0)
        return last

    def values(self, step: int, values: Mapping[str, float]) -> None:
        """Each value is a scalar; names before an underscore group validation apart."""
        for name, value in values.items():
            self._writer.add_scalar(_tag(name), value, step)

    def captions(self, step: int, samples: Sequence[Sample]) -> None:
        """The images once, the captions each time."""
        for number, sample in enumerate(samples):
            references = "\n".join(f"- {text}" for text in sample.references)
            text = f"**{sample.caption}**\n\n{references}"
            self._writer.add_text(f"captions/{number}", text, step)
            self._writer.add_image(
                f"images/{number}", pixels(sample.image), step, dataformats="HWC"
            )

    def event(self, step: int, sentence: str) -> None:
        """A line of text."""
        self._writer.add_text("events", sentence, step)

    def ended(self) -> None:
        """Writes what is left."""
        self._writer.close()


def _tag(name: str) -> str:
    return name.replace("validation_", "validation/", 1) if name.startswith("validation_") else name


def _last_step(folder: Path) -> int:
    """The largest step of a scalar in the folder's event files; -1 where there is none."""
    if not folder.is_dir():
        return -1
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 1})
    events.Reload()
    steps = [events.Scalars(tag)[-1].step for tag in events.Tags()["scalars"]]
    return max(steps, default=-1)
