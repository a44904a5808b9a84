"""Turns chunks into questions and their answers, by the workspace's default model; each text is paid for once."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from typing import Final, Protocol

from dify_kernel.contracts.model import LLMRequest, PromptMessage
from dify_kernel.contracts.ports import ModelsPort
from dify_kernel.errors import BadInput

from dify_host.knowledge.chunk import Chunk, text_hash
from dify_host.knowledge.patience import Patience, Told, patiently
from dify_host.knowledge.side_by_side import side_by_side

__all__ = ["Kept", "Pairs", "Questions", "read_pairs"]

Pairs = list[tuple[str, str]]
"""Questions, each with its answer."""

log = logging.getLogger(__name__)

_AT_ONCE: Final = 10
_TASK: Final = (
    "You write study cards. Read the text of the user and write every question that it answers, each with its full "
    "answer. Use nothing but the text; each card must make sense without it. Write in {language}. "
    "Write nothing but cards, numbered from 1, in this form:\n"
    "Q1: the first question\nA1: its answer\nQ2: the second question\nA2: its answer"
)
# A pair ends where the next question with a number begins; answers may have several lines.
_PAIR: Final = re.compile(
    r"^[ \t*#>-]*Q(\d+)[*]*\s*[:：](.*?)^[ \t*#>-]*A\1[*]*\s*[:：](.*?)(?=^[ \t*#>-]*Q\d+[*]*\s*[:：]|\Z)", re.M | re.S
)


def read_pairs(answer: str) -> Pairs:
    """The pairs of `Q1: … A1: …` in an answer, in order; a pair without a question or an answer is left out."""
    found = [(question.strip(" \t\r\n*"), reply.strip(" \t\r\n*")) for _, question, reply in _PAIR.findall(answer)]
    return [(question, reply) for question, reply in found if question and reply]


class Kept(Protocol):
    """Keeps what was written of the texts of a document, by their hashes, until its segments are there."""

    async def known(self) -> dict[str, Pairs]:
        """What was written in earlier runs."""

    async def keep(self, key: str, pairs: Pairs) -> None:
        """Keep the pairs of one text; raises when the document needs them no more."""


class Questions:
    """Asks the default model of one workspace, ten chunks at a time; `told` hears what it waits for."""

    def __init__(
        self, models: ModelsPort, language: str, *, patience: Patience | None = None, told: Told | None = None
    ) -> None:
        self._models = models
        self._language = language or "English"
        self._patience = patience or Patience(attempts=1)
        self._told = told
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def of(self, chunks: Sequence[Chunk], kept: Kept | None = None) -> list[Chunk]:
        """A chunk for each pair, in the order of the texts they are from: the question, and its answer.

        A text whose pairs are kept is not asked about; neither is one that is there twice. Attachments stay with the
        first pair of their text. A text that the model finds nothing in gives none, which is logged; BadInput when no
        text gives any, ProviderTokenNotInitError without a default model.
        """
        written = await kept.known() if kept is not None else {}
        texts = [text for text in dict.fromkeys(chunk.content for chunk in chunks) if self.key(text) not in written]
        asked = await side_by_side([self._written(text, kept) for text in texts])
        written = written | {self.key(text): pairs for text, pairs in zip(texts, asked, strict=True)}
        answers = [written[self.key(chunk.content)] for chunk in chunks]
        found: list[Chunk] = []
        silent = 0
        for chunk, pairs in zip(chunks, answers, strict=True):
            silent += not pairs
            for number, (question, answer) in enumerate(pairs):
                attachments = chunk.attachments if number == 0 else []
                found.append(Chunk(content=question, answer=answer, attachments=attachments))
        if not found:
            raise BadInput(
                "The model wrote no questions and answers.",
                hint="Choose another default model, or another form of document.",
            )
        if silent:
            log.warning("%d of %d texts gave no questions.", silent, len(chunks))
        return found

    def key(self, text: str) -> str:
        """What the pairs of a text are kept by: the text, and the language in which they are."""
        return text_hash(f"{self._language}\n{text}")

    async def pairs(self, text: str) -> Pairs:
        """The pairs of one text; what cannot be read is asked for once more."""
        for _ in range(2):
            answer = await patiently(lambda: self._answer(text), self._patience, self._told)
            if found := read_pairs(answer):
                return found
        return []

    async def _written(self, text: str, kept: Kept | None) -> Pairs:
        async with self._free:
            pairs = await self.pairs(text)
            if kept is not None and pairs:
                await kept.keep(self.key(text), pairs)
            return pairs

    async def _answer(self, text: str) -> str:
        messages = [
            PromptMessage(role="system", content=_TASK.format(language=self._language)),
            PromptMessage(role="user", content=text),
        ]
        # No names: the workspace's default model.
        request = LLMRequest(model="", messages=messages, parameters={"temperature": 0.01, "max_tokens": 2000})
        return "".join([delta.text async for delta in self._models.llm("", request)])
