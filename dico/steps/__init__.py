"""The steps of the pipeline: one file, one function, plain parameters; the same on a laptop and in a pod."""
