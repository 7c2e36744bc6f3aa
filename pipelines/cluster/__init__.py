"""Kubeflow's side of dico: submitting, scheduling and listing runs, training on several nodes."""
