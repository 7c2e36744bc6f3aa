"""Names of plug-ins in a run's settings, checked where these are installed and before any work."""

from dico.errors import ConfigError
from dico.presets.config import Config
from dico.rewards.names import parse_reward


def check_plugins(config: Config) -> None:
    """Checks that every reward that is named is there.

    Raises:
        ConfigError: a name that neither dico nor an installed package has.
    """
    try:
        parse_reward(config.finetune.reward)
    except ConfigError as error:
        raise ConfigError(f"finetune.{error}") from None
