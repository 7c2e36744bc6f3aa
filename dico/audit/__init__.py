"""Does an evaluator deserve to be obeyed? Measured before a captioner is trained on its judgement."""
