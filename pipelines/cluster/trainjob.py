"""A step on several nodes: a TrainJob that is created, followed, cancelled and found again."""
