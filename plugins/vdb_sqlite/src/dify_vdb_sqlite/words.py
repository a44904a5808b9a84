"""Turns texts into rows of the full-text index, and queries into its language.

Every token carries the number of its partition: a search walks only its own partition's lists, and no word of one
partition can match in another. Scripts without spaces are stored character by character and asked for in pairs.
"""

from __future__ import annotations

from dify_kernel.contracts.lexical import ascii_words, query_terms, runs

__all__ = ["MAX_TERMS", "to_phrases", "to_words"]

MAX_TERMS = 256
"""A longer query is cut: more words do not find more, they only take longer."""


def to_words(partition: int, text: str) -> str:
    """The tokens of a text, separated by spaces; a lone prefix keeps runs that did not touch apart."""
    prefix = f"{partition}z"
    plain = ascii_words(text)
    if plain is not None:
        return prefix + f" {prefix}".join(plain) if plain else ""
    words: list[str] = []
    for run, unspaced in runs(text):
        if unspaced:
            words += [*(prefix + char for char in run), prefix]
        else:
            words.append(prefix + run)
    return " ".join(words)


def to_phrases(partition: int, query: str) -> list[str]:
    """The FTS5 expressions of the query's words, one each; they hold no user's quote."""
    prefix = f"{partition}z"
    phrases: dict[str, None] = {}
    for run, unspaced in runs(query):  # a run is kept whole, however long: `query_terms` would shorten it
        words = [" ".join(prefix + char for char in term) for term in query_terms(run)] if unspaced else [prefix + run]
        phrases.update(dict.fromkeys(words))
    return [f'"{phrase}"' for phrase in list(phrases)[:MAX_TERMS]]
