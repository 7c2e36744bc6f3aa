"""The container image of every component: the one place that names it."""

IMAGE = "dico:0.1.0"
