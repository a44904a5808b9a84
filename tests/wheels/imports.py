"""Imports every module of one installed package: a dependency that is not declared shows here; standard library only.

Run by the python of an environment that holds nothing else: `python imports.py PACKAGE`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pkgutil import walk_packages


def main(package: str) -> None:
    """Import all of it; ImportError names the module that is missing."""
    names = [package, *(found.name for found in walk_packages(import_module(package).__path__, f"{package}."))]
    for name in names:
        import_module(name)
    print(f"{package}: {len(names)} modules")


if __name__ == "__main__":
    main(sys.argv[1])
