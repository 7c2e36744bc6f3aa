"""Lets ``python -m dico`` and ``torchrun -m dico`` be ``dico``."""

from dico.cli import main

if __name__ == "__main__":
    main()
