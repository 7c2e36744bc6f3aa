"""The toy dataset: rendered scenes with human-like, incomplete captions, deterministic by seed."""
