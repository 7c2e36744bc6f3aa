"""How each command of the pages is tried: run, sent to a server of the tests, or looked at.

The first rule that fits a command holds. A command that none fits fails the tests, so that a new one
is not forgotten.
"""

import re
from enum import Enum
from typing import NamedTuple


class Way(Enum):
    """What is done with a command."""

    RUN = "run to its end, on small data"
    SERVE = "started, asked once, and stopped"
    CLUSTER = "run against the recording server of Kubeflow Pipelines"
    TARGET = "its target is looked for in the Makefile"
    MODULE = "its file is looked for"
    EXTRA = "its extras are looked for"
    FOLDER = "its folder is looked for"
    TEST = "a test of its own runs it"
    OTHERS = "another program's"


class Rule(NamedTuple):
    """What is done with commands that match."""

    pattern: str
    way: Way
    instead: tuple[tuple[str, str], ...] = ()
    """Parts of words of the page, and what stands for them here."""
    more: tuple[str, ...] = ()
    """Words that follow."""
    where: str = ""
    """The test that runs it."""
    trained: bool = True
    """Whether it needs runs, models or captions that were made before."""


TINY = (
    "evaluator.num_word_steps=2 evaluator.num_clip_steps=2 evaluator.num_pac_steps=2 "
    "evaluator.batch_size=16 judge.num_word_steps=2 judge.num_clip_steps=2 judge.num_pac_steps=2 "
    "judge.batch_size=16 "
    "xe.num_steps=2 xe.batch_size=40 xe.micro_batch_size=40 xe.num_validation_images=6 "
    "xe.validate_every_steps=2 finetune.num_steps=2 finetune.batch_size=4 "
    "finetune.micro_batch_size=4 finetune.num_validation_images=6 "
    "finetune.validate_every_steps=2 evaluation.meteor=false evaluation.num_resamples=50 "
    "audit.allow_unfit=true audit.num_resamples=50 validation.near_duplicates=false"
)
_SMALL = (("preset=photos", "preset=toy"),)
_SERVER = (("sha256:...", f"sha256:{'0' * 64}"), ("http://localhost:8888", "ENDPOINT"),
           ("PROFILE", "kubeflow"), ("RUN", "run-1"))  # fmt: skip
_WEIGHTS = "tests/weights/test_encoders.py"
PLAN = (
    Rule(r"make ", Way.TARGET),
    Rule(r"python ", Way.MODULE),
    Rule(r"pip install ", Way.EXTRA),
    Rule(r"kubectl (.* )?apply .*-k \S+ $", Way.FOLDER),
    Rule(r"(kubectl|kind|docker|cp|export|tensorboard|\.|openssl) ", Way.OTHERS),
    Rule(r"(hf download|dico models push)", Way.TEST, where="tests/registry/test_hub.py"),
    Rule(r"(curl|dico serve harbour)", Way.TEST, where="tests/serving/test_server.py"),
    Rule(r"dico weights ", Way.TEST, where=_WEIGHTS),
    Rule(r"dico run .*SmolVLM", Way.TEST, where="tests/policy/test_types.py"),
    Rule(r"dico run .*(coco-vit-l14|preset=blip|clip-captioner)", Way.TEST,
         where="tests/pipelines/test_published_run.py"),
    Rule(r"dico (features|train|caption --manifest|models add) ", Way.TEST,
         where="tests/cli/test_stage_by_stage.py"),
    Rule(r"dico (validate dataset_coco|evaluate captions.jsonl)", Way.TEST,
         where="tests/cli/test_evaluate.py"),
    Rule(r"dico agree ", Way.TEST, where="tests/cli/test_people.py"),
    Rule(r"dico run .*brevity", Way.TEST, where="tests/plugins/test_example.py"),
    Rule(r"dico rebuild ", Way.TEST, where="tests/cli/test_rebuild_version.py"),
    Rule(r"dico serve /mnt", Way.SERVE, (("/mnt/models", "version"),)),
    Rule(r"dico serve", Way.SERVE, (("s3://models/registry", "runs/registry"), ("@3", "@1"))),
    Rule(r"dico rate ", Way.SERVE),
    Rule(r"dico runs dico-a ", Way.RUN),
    Rule(r"(dico (submit|schedule|logs|runs|doctor)|kfp )", Way.CLUSTER, _SERVER, trained=False),
    Rule(r"dico run ", Way.RUN, _SMALL, (f"overrides={TINY}",), trained=False),
    Rule(r"dico keys new ", Way.RUN, (("private", "new"), ("public", "new-public"))),
    Rule(r"dico (validate|data) ", Way.RUN, trained=False),
    Rule(r"dico models show ", Way.RUN, (("3", "1"),)),
    Rule(r"dico models promote ", Way.RUN, (("@3", "@2"),), ("--anyway",)),
    Rule(r"dico models (rollback|verify --all)", Way.RUN, more=("photos",)),
    Rule(r"dico (caption|models|keys|compare|evaluate) ", Way.RUN),
)  # fmt: skip


def rule_of(command):
    """The rule of a command.

    Raises:
        LookupError: there is none.
    """
    text = " ".join(command.words)
    for rule in PLAN:
        if re.match(rule.pattern, text + " "):
            return rule
    raise LookupError(f"{command.page}: no rule for {text!r}; add one to tests/docs/plan.py")


def words_of(command):
    """The words to type for a command of a page."""
    rule, words = rule_of(command), []
    for word in command.words:
        for old, new in rule.instead:
            word = word.replace(old, new) if not word.startswith("-") else word
        words.append(word)
    return [*words, *rule.more]
