"""Alias for one release: ``python -m dico.models.weights`` is ``dico weights``."""

import runpy
import sys

if __name__ == "__main__":
    print("note: python -m dico.models.weights is called dico weights now", file=sys.stderr)
    sys.argv[1:1] = ["weights"]
    runpy.run_module("dico", run_name="__main__")
