"""Human judgements: captions side by side, and how far metrics agree with people."""

from dico.people.agreement import Agreement, agree
from dico.people.judgements import Judgement, read_judgements, win_rates

__all__ = ["Agreement", "Judgement", "agree", "read_judgements", "win_rates"]
