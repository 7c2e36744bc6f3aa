"""Datasets: formats, the manifest, validation, pictures and the feature store."""
