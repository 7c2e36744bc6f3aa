"""Validation of a dataset: what is read, checked, kept, excluded and reported."""
