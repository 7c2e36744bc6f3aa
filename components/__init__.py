"""Kubeflow components: one file, one component, one function whose body calls one step of dico."""
