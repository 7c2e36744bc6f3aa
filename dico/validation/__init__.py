"""Validation of a dataset: what is read, checked, kept, set aside and reported."""
