"""Makes chunks of the cleaned texts of a document, in the shape of its form."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence

import msgspec

from dify_host.knowledge.rules import ProcessRule, Rules, Segmentation
from dify_host.knowledge.split import split_fixed, split_recursive

__all__ = ["Chunk", "chunk_texts", "cut_children", "estimate_tokens", "text_hash"]

# What a cut may leave at the head of a chunk. No bracket, hash or Latin exclamation mark: those open something.
_LEADING = re.compile(r"^[\s.,:;?。．，、；：？！…·]+")
_WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")


class Chunk(msgspec.Struct, kw_only=True):
    """One future segment: `children` in parent-child form, `answer` in question-and-answer form.

    `attachments` are ids of uploaded files that belong to it.
    """

    content: str
    answer: str | None = None
    children: list[str] = []
    attachments: list[str] = []


def text_hash(text: str) -> str:
    """Return the hash a text is known by in the index and in the embedding cache: 64 hexadecimal digits."""
    return hashlib.sha256((text + "None").encode("utf-8", "surrogatepass")).hexdigest()


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text without a tokeniser: one a wide character, one for four others."""
    wide = len(_WIDE.findall(text))
    return wide + (len(text) - wide + 3) // 4


def chunk_texts(texts: Sequence[str], rule: ProcessRule, doc_form: str) -> list[Chunk]:
    """Return the chunks of the texts, in order; blank ones are dropped.

    `text_model` cuts each text by itself, and so does `qa_model`, whose questions are made of these chunks later.
    `hierarchical_model` gives each chunk its children; with `full-doc` the whole document is one parent.
    """
    if doc_form == "hierarchical_model":
        return list(_parents(texts, rule))
    contents = (_LEADING.sub("", piece) for text in texts for piece in _split(text, rule))
    return [Chunk(content=content) for content in contents if content]


def cut_children(content: str, rules: Rules) -> list[str]:
    """Return the child chunks of a parent's content, in order."""
    inner = rules.subchunk_segmentation or rules.segmentation
    return [child for piece in _fixed(content, inner) if (child := _LEADING.sub("", piece))]


def _split(text: str, rule: ProcessRule) -> list[str]:
    part = rule.effective.segmentation
    if rule.mode == "automatic":
        return split_recursive(text, max_length=part.max_tokens, overlap=part.chunk_overlap)
    return _fixed(text, part)


def _parents(texts: Sequence[str], rule: ProcessRule) -> Iterator[Chunk]:
    rules = rule.effective
    whole = rules.parent_mode == "full-doc"
    parents = ["\n".join(texts).strip()] if whole else [piece for text in texts for piece in _split(text, rule)]
    for parent in parents:
        content = parent if whole else parent.removeprefix(".").removeprefix("。").strip()
        children = cut_children(content, rules)
        if children:
            yield Chunk(content=content, children=children)


def _fixed(text: str, part: Segmentation) -> list[str]:
    return split_fixed(text, separator=part.separator, max_length=part.max_tokens, overlap=part.chunk_overlap)
