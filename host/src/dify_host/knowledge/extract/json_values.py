"""Reads JSON and lines of JSON: one text a value of the list that it is."""

from __future__ import annotations

import json
from typing import Any

from dify_host.knowledge.errors import ExtractionFailed
from dify_host.knowledge.extract.text import Text, decode

__all__ = ["read_json", "read_jsonl"]


def read_json(data: bytes) -> list[Text]:
    """Read a list as a text an item, and anything else as one text, written with an indent of two."""
    try:
        value = json.loads(decode(data))
    except ValueError as exc:
        raise ExtractionFailed(f"The json file is damaged: {exc}.", hint="Check it, or upload it as txt.") from exc
    if isinstance(value, list):
        return [Text(text=_shown(item), metadata={"item": number}) for number, item in enumerate(value, 1)]
    return [Text(text=_shown(value))]


def read_jsonl(data: bytes) -> list[Text]:
    """Read a text a line; blank lines are passed over."""
    texts = []
    for number, line in enumerate(decode(data).split("\n"), 1):
        if not line.strip():
            continue
        try:
            texts.append(Text(text=_shown(json.loads(line)), metadata={"line": number}))
        except ValueError as exc:
            raise ExtractionFailed(
                f"Line {number} of the jsonl file is not JSON: {exc}.", hint="Check it, or upload it as txt."
            ) from exc
    return texts


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
