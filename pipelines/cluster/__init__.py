"""The client of Kubeflow Pipelines: submitting, scheduling and listing runs."""
