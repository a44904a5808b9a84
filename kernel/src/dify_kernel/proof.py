"""How a plugin was proven: which engine its contract suite ran against, written down by the run itself.

`nox -s live` writes `proof.json` into the plugin's module; the wheel carries it, and it is read here without importing
the plugin. Nobody edits it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

__all__ = ["PROOF_FILE", "Proof", "Proven", "proofs_of", "read_proofs", "summary"]

PROOF_FILE = "proof.json"
ProofKind = Literal["live", "compatible", "simulated"]
_ORDER: tuple[ProofKind, ...] = ("live", "compatible", "simulated")


class Proof(msgspec.Struct, frozen=True):
    """What a suite runs against: `live` is the vendor's own engine, `compatible` another engine with its protocol,
    `simulated` something that only answers like it. `engine` names it with its version."""

    kind: ProofKind
    engine: str


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a whole suite: against what, by which test class, and how its tests ended.

    `gaps` are expected failures, each with its reason in the plugin's tests.
    """

    kind: ProofKind
    engine: str
    suite: str
    passed: int
    skipped: int = 0
    gaps: int = 0
    failed: int = 0


def read_proofs(folder: Path) -> list[Proven]:
    """What `proof.json` in a module's folder holds, the strongest first; nothing when there is none."""
    path = folder / PROOF_FILE
    if not path.is_file():
        return []
    proofs = msgspec.json.decode(path.read_bytes(), type=list[Proven])
    return sorted(proofs, key=lambda proven: (_ORDER.index(proven.kind), proven.suite))


def proofs_of(module: str) -> list[Proven]:
    """The proofs in the package of a module, such as `dify_vdb_acme.plugin`, which is not imported."""
    spec = importlib.util.find_spec(module.partition(".")[0])
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    return [proven for folder in folders for proven in read_proofs(Path(folder))]


def summary(proofs: Iterable[Proven]) -> str:
    """In a line: `live: Redis 8.0.2; compatible: Valkey 9.1.2 (2 gaps)`; empty when nothing was proven."""
    parts = []
    for proven in proofs:
        state = "failing" if proven.failed or not proven.passed else proven.kind
        gaps = f" ({proven.gaps} gap{'s' if proven.gaps > 1 else ''})" if proven.gaps else ""
        parts.append(f"{state}: {proven.engine}{gaps}")
    return "; ".join(parts)
