"""Presets and the settings of a run."""
