"""Packages of the distribution: the folders components/ and pipelines/ install under names of ours.

``components`` and ``pipelines`` are names that other distributions use too, so they are imported as
``dico_components`` and ``dico_pipelines``. All else is in pyproject.toml.
"""

from setuptools import find_packages, setup

FOLDERS = {"dico": "dico", "dico_components": "components", "dico_pipelines": "pipelines"}

setup(
    packages=[
        ".".join([name, *inner.split(".")]) if inner else name
        for name, folder in FOLDERS.items()
        for inner in ["", *find_packages(folder)]
    ],
    package_dir=FOLDERS,
)
