"""Step: trains the independent evaluator, by which the gate judges and on which nothing is tuned."""

from dico.configuration.schema import from_json
from dico.models.judge import write_absent_judge
from dico.steps.train_evaluator import train_on
from dico.training.configs import JudgeConfig
from dico.training.determinism import step_seed
from dico.training.halves import judges_part


def train_judge(
    manifest: str,
    config: str,
    seed: int,
    run_key: str,
    store: str,
    output_judge: str,
    weights: str = "{}",
) -> None:
    """Trains a second evaluator on the images that the first one does not see."""
    settings = from_json(JudgeConfig, config, "judge")
    if not settings.enabled:
        write_absent_judge(output_judge)
        return
    own_seed = step_seed(seed, 0, "judge")
    train_on(judges_part, "judge", manifest, settings, seed, own_seed, run_key, store,
             output_judge, weights)  # fmt: skip
