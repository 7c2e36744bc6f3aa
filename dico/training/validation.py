"""Validation during training: captions of validation images, scored."""

from collections.abc import Iterator, Mapping, Sequence

from dico.data.manifest import Record
from dico.decoding import DecodingConfig
from dico.facts import Scene, Vocabulary, check_captions
from dico.features.store import FeatureStore
from dico.metrics import (
    PreparedReferences,
    bad_endings,
    cider,
    num_words,
    pac_score,
    ref_pac_score,
    rep_n,
)
from dico.models.captioner import Captioner
from dico.models.evaluator import Evaluator
from dico.policy import Policy, policy_of
from dico.policy.captioning import Caption, caption_images, caption_stored
from dico.tracking import captions_made


class Validator:
    """Captions the same validation images each time and scores them.

    CIDEr's document frequencies are those of these images, so its values compare within a run
    only. PAC-S needs an evaluator; how true captions are, the images' facts.
    """

    def __init__(
        self,
        records: Sequence[Record],
        features: FeatureStore,
        decoding: DecodingConfig,
        evaluator: Evaluator | None = None,
        vocabulary: Vocabulary | None = None,
        scenes: Mapping[str, Scene] | None = None,
    ) -> None:
        self.vocabulary, self.scenes = vocabulary, scenes or {}
        self.image_ids = [record.image_id for record in records]
        self.keys = [record.sha256 for record in records]
        self.uris = [record.uri for record in records]
        self.features, self.decoding, self.evaluator = features, decoding, evaluator
        self.references = [record.captions for record in records]
        self.prepared = PreparedReferences(self.references)
        if evaluator is not None:
            flat = [text for captions in self.references for text in captions]
            embedded = evaluator.embed_texts(flat, evaluator.config.prompt)
            self._reference_embeddings = embedded.cpu().numpy()

    def __call__(self, captioner: Captioner | Policy) -> dict[str, float]:
        """Scores: cider, num_words, rep_2, bad_endings, and what evaluator and facts tell."""
        policy = policy_of(captioner)
        was_training = policy.module.training
        policy.module.eval()  # dropout off; put back below, since fine-tuning runs in eval mode
        texts = [caption.text for caption in self._captions(policy)]
        policy.module.train(was_training)
        captions_made(self.uris, texts, self.references)
        scores = {
            "cider": cider(texts, self.prepared).total,
            "num_words": num_words(texts).total,
            "rep_2": rep_n(texts, 2).total,
            "bad_endings": bad_endings(texts).total,
        }
        if self.evaluator is not None:
            ours = self.evaluator.embed_texts(texts, self.evaluator.config.prompt).cpu().numpy()
            images = self.features.read(self.keys, "pac_embedding")  # (N, E)
            w = self.evaluator.config.w
            scores["pac_score"] = pac_score(images, ours, w=w).total
            num_references = [len(captions) for captions in self.references]
            scores["ref_pac_score"] = ref_pac_score(
                images, ours, self._reference_embeddings, num_references, w=w
            ).total
        if self.vocabulary is not None:
            known = [self.scenes.get(image_id) for image_id in self.image_ids]
            true = check_captions(texts, known, self.vocabulary)
            scores |= {
                "facts_precision": true.precision,
                "facts_recall": true.recall,
                "wholly_true": true.wholly_true,
            }
        return {name: float(value) for name, value in scores.items()}

    def _captions(self, policy: Policy) -> Iterator[Caption]:
        if policy.preprocess is None:
            return caption_stored(policy, self.features, self.keys, self.decoding)
        return caption_images(policy, None, self.uris, self.decoding)
