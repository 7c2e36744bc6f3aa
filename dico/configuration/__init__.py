"""Frozen config dataclasses: made from plain values, and the ranges in their types."""
