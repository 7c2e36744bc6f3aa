"""What people say: judgements of captions side by side, and how far metrics agree with them."""

from dico.people.agreement import Agreement, agree
from dico.people.judgements import Judgement, read_judgements, win_rates

__all__ = ["Agreement", "Judgement", "agree", "read_judgements", "win_rates"]
