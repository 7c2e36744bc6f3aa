"""Captions gathered batch by batch and rank by rank, then scored once.

BLEU, CIDEr and METEOR are not means over batches, so what ranks exchange are captions. A sampler
that pads the last batch shows an image twice: it counts once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from dico.errors import DataError
from dico.metrics.bleu import bleu
from dico.metrics.cider import cider
from dico.metrics.prepared import PreparedReferences
from dico.metrics.rouge import rouge_l
from dico.metrics.scores import name_some

State = dict[str, tuple[str, tuple[str, ...]]]
Gather = Callable[[State], Iterable[State]]


class CaptionScores:
    """BLEU, ROUGE-L and CIDEr over captions that arrive in parts.

    Examples:
        >>> scores = CaptionScores()
        >>> scores.update(["17"], ["a dog"], [["a dog runs"]])
        >>> scores.synchronise(gather)  # e.g. by torch.distributed.all_gather_object
        >>> scores.compute()["cider"]
    """

    def __init__(self) -> None:
        self._seen: State = {}

    def update(
        self,
        image_ids: Sequence[str],
        captions: Sequence[str],
        references: Sequence[Sequence[str]],
    ) -> None:
        """Adds a batch; an image given again must come with the same caption.

        Raises:
            DataError: different lengths, or an image with two captions.
        """
        if not len(image_ids) == len(captions) == len(references):
            raise DataError(
                f"{len(image_ids)} image ids, {len(captions)} captions and {len(references)} "
                "lists of references: give as many of each"
            )
        own = zip(image_ids, captions, references, strict=True)
        self.merge({image_id: (caption, tuple(texts)) for image_id, caption, texts in own})

    def state(self) -> State:
        """What this rank has seen, to be sent to others."""
        return dict(self._seen)

    def merge(self, state: Mapping[str, tuple[str, tuple[str, ...]]]) -> None:
        """Adds what another rank has seen."""
        differ = [i for i, pair in state.items() if self._seen.get(i, pair) != pair]
        if differ:
            raise DataError(f"images with two different captions: {name_some(differ)}")
        self._seen.update(state)

    def synchronise(self, gather: Gather) -> None:
        """Merges all ranks; afterwards each has the same.

        Args:
            gather: takes this rank's state and gives those of all ranks.
        """
        for state in gather(self.state()):
            self.merge(state)

    def reset(self) -> None:
        """Forgets everything, for the next epoch."""
        self._seen.clear()

    def compute(self) -> dict[str, float]:
        """bleu_1 .. bleu_4, rouge_l and cider; independent of the order of arrival."""
        if not self._seen:
            raise DataError("no caption to score")
        pairs = [self._seen[image_id] for image_id in sorted(self._seen)]
        references = PreparedReferences([texts for _, texts in pairs])
        captions = references.prepare([caption for caption, _ in pairs])
        totals = bleu(captions, references).total
        scores = {f"bleu_{n}": float(score) for n, score in enumerate(totals, 1)}
        scores["rouge_l"] = rouge_l(captions, references).total
        return scores | {"cider": cider(captions, references).total}
