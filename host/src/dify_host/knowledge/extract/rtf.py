"""Reads Rich Text: its words as one text."""

from __future__ import annotations

from dify_host.knowledge.extract.text import Text

__all__ = ["read_rtf"]


def read_rtf(data: bytes) -> list[Text]:
    """Read the document as one text; its encodings are named inside, what they do not have is left out."""
    from striprtf.striprtf import rtf_to_text

    text: str = rtf_to_text(data.decode("latin-1"), errors="ignore")  # type: ignore[no-untyped-call]
    return [Text(text=text.strip())]
