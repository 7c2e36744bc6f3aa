"""Pipelines as lists of steps, their compiled YAML, and the runner that needs no cluster."""
