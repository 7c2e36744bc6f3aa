"""One target under atheris, in a process that libFuzzer ends: started by `tests.reliability.fuzz`."""

import logging
import sys

import atheris

with atheris.instrument_imports(include=["dico"]):
    from tests.reliability.fuzz_targets import politely, seeds


def main(name: str, *options: str) -> None:
    """Fuzzes ``name`` with libFuzzer's ``options``."""
    logging.disable(logging.CRITICAL)
    seeds(name)

    def run(data: bytes) -> None:
        politely(name, data)

    atheris.Setup([name, *options], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
