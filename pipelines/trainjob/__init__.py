"""Training on several nodes: a step's TrainJob, its pods and their logs."""
