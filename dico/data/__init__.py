"""Datasets: formats, the manifest, validation, images and the feature store."""
