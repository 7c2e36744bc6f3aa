"""The steps of the pipeline: one file, one function, plain parameters; the same on a laptop and in a pod."""

from dico.process.limits import apply_to_threads

# Before any step imports torch, which reads the variables then.
apply_to_threads()
