"""Writes down what a suite was proven against: counted from the reports of the run, never stated by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from dify_kernel.proof import PROOF_FILE, Proof, Proven, read_proofs

__all__ = ["ProofRecorder", "module_folder", "state"]

_PROPERTY = "dify_proof"


def state(properties: list[tuple[str, object]], proof: Proof, suite: str, expected: int) -> None:
    """Put a proof on a test's `user_properties`, which reach the recorder also from another process."""
    properties.append((_PROPERTY, [proof.kind, proof.engine, suite, expected]))


class ProofRecorder:
    """Collects the outcomes of suites with a proof and writes each plugin's `proof.json` when the run ends."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._outcomes: dict[tuple[Path, str], dict[str, str]] = {}
        self._stated: dict[tuple[Path, str], list[Any]] = {}

    def take(self, report: Any) -> None:
        """Take a report of a phase of a test (`pytest.TestReport`)."""
        stated = next((value for name, value in report.user_properties if name == _PROPERTY), None)
        if stated is None:
            return
        path, _, test = report.nodeid.partition("::")
        key = (module_folder(self._root / path), stated[2])
        self._stated[key] = stated
        outcomes = self._outcomes.setdefault(key, {})
        if report.failed or report.when == "call" or (report.skipped and report.when == "setup"):
            outcome = "gaps" if hasattr(report, "wasxfail") and report.skipped else report.outcome
            if outcomes.get(test) != "failed":
                outcomes[test] = outcome

    def write(self) -> list[str]:
        """Write the files; the sentences say what was written and what was not, and why."""
        said, by_folder = [], dict[Path, list[Proven]]()
        for key, (kind, engine, suite, expected) in sorted(self._stated.items()):
            outcomes = self._outcomes[key]
            if len(outcomes) < expected:
                said.append(f"{suite} ran {len(outcomes)} of {expected} tests: no proof is written of a part.")
                continue
            counts = Counter(outcomes.values())
            proven = Proven(kind=kind, engine=engine, suite=suite, **counts)
            by_folder.setdefault(key[0], []).append(proven)
            said.append(f"{key[0].name}: {suite} {kind} against {engine}: {dict(counts)}.")
        for folder, proofs in by_folder.items():
            new = {proven.suite for proven in proofs}
            kept = [proven for proven in read_proofs(folder) if proven.suite not in new]
            ordered = sorted([*kept, *proofs], key=lambda proven: proven.suite)
            text = msgspec.json.format(msgspec.json.encode(ordered), indent=2)
            (folder / PROOF_FILE).write_bytes(text + b"\n")
        return said


def module_folder(test: Path) -> Path:
    """The folder of the module that a test file's package makes; the test's own folder when it belongs to none."""
    for parent in test.parents:
        if (parent / "pyproject.toml").is_file():
            found = sorted((parent / "src").glob("*/plugin.py"))
            return found[0].parent if found else test.parent
    return test.parent
