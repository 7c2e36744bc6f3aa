"""Training: the evaluator, cross-entropy pre-training and DiCO or SCST fine-tuning."""
