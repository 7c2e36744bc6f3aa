"""The steps of the pipeline: one file, one function, plain parameters; the same on a laptop and in a pod.

Parameters and outputs are those of the component of the same name, whose docstring describes them.
Inputs are paths of files and folders, empty where there is none; a ``config`` is a settings dataclass
as JSON; an ``output_`` is the path to write.
"""

from dico.process.limits import apply_to_threads

# Before any step imports torch, which reads the variables then.
apply_to_threads()
