"""Does an evaluator deserve to be obeyed? Measured before a captioner is trained on its judgement."""

from dico.audit.audit import Audit, audit, read_audit
from dico.audit.config import AuditConfig
from dico.audit.items import Item
from dico.audit.judges import BlindJudge, CosineJudge, FactsJudge, Judge

__all__ = [
    "Audit",
    "AuditConfig",
    "BlindJudge",
    "CosineJudge",
    "FactsJudge",
    "Item",
    "Judge",
    "audit",
    "read_audit",
]
