"""Tokenizer, vision and text towers, evaluator, captioner; plain torch."""
