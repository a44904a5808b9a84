"""Files that mean harm or are broken end in a stated error or in their text, within bounds, and harm nobody else."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from dify_host.knowledge.errors import ExtractionFailed, UnsupportedFileType
from dify_host.knowledge.extract.child import Answer, main
from dify_host.knowledge.extract.extractor import ExtractLimits, Extractor
from dify_host.knowledge.extract.formats import EXTENSIONS
from dify_host.knowledge.extract.text import Text
from dify_kernel.errors import TooLarge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import msgpack

from .good_documents import WORD, good_documents
from .hostile import Hostile, hostile_files

_MIB = 1024 * 1024
LIMITS = ExtractLimits(max_memory=768 * _MIB, seconds=10, max_output=32 * _MIB)
GOOD = good_documents()


async def end_of(extractor: Extractor, case: Hostile) -> list[Text] | Exception:
    """How reading ended: the texts, or one of the errors that extraction may raise."""
    _, extension, data = case
    try:
        return await extractor.extract(data, f"file.{extension}")
    except (UnsupportedFileType, ExtractionFailed, TooLarge) as exc:
        return exc


@pytest.mark.timeout(600)
async def test_every_one_ends_in_its_bounds_and_the_next_document_is_read() -> None:
    cases = hostile_files()
    assert len(cases) >= 200
    extractor = Extractor(LIMITS)
    await extractor.extract(GOOD["pdf"], "a.pdf")
    before = children()
    slow: list[tuple[float, str]] = []
    kinds: Counter[str] = Counter()
    for number, case in enumerate(cases):
        name = f"{case[0]} ({case[1]})"
        begun = time.monotonic()
        end = await end_of(extractor, case)
        slow.append((time.monotonic() - begun, name))
        kinds[type(end).__name__] += 1
        if isinstance(end, Exception):
            assert end.message.strip(), name  # type: ignore[attr-defined]
            assert not end.retryable, name  # type: ignore[attr-defined]
        else:
            assert not case[0].startswith(("password", "dense", "parts that overlap")), name
            assert "root:x:0" not in "".join(item.text for item in end), name
            assert "haha" * 100 not in "".join(item.text for item in end), name
        if number % 25 == 0:
            extension, good = list(GOOD.items())[number // 25 % len(GOOD)]
            assert WORD in "".join(item.text for item in await extractor.extract(good, f"a.{extension}"))
    assert max(slow)[0] < LIMITS.seconds + 10, sorted(slow)[-5:]
    assert children() == before
    assert kinds["list"] > 0
    assert kinds["ExtractionFailed"] > 100


@pytest.mark.parametrize("extension", GOOD)
async def test_good_documents_are_read_beside_hostile_ones(extension: str) -> None:
    extractor = Extractor(LIMITS)
    bad = [case for case in hostile_files() if case[1] == extension][:3]
    good = extractor.extract(GOOD[extension], f"a.{extension}")
    texts, *_ = await asyncio.gather(good, *(end_of(extractor, case) for case in bad))
    assert WORD in "".join(item.text for item in texts)


@pytest.mark.parametrize("extension", EXTENSIONS)
@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_arbitrary_bytes_give_texts_or_a_stated_error(extension: str, data: st.DataObject, tmp_path: Path) -> None:
    good = GOOD.get(extension, GOOD["txt"])
    content = data.draw(st.one_of(st.binary(max_size=500), edited(good)))
    kept, tempfile.tempdir = tempfile.tempdir, str(tmp_path)
    try:
        answer = msgpack.decode(main(content, [extension]), type=Answer)
    finally:
        tempfile.tempdir = kept
    assert not (answer.error and answer.texts)
    assert list(tmp_path.iterdir()) == []


@st.composite
def edited(draw: st.DrawFn, good: bytes) -> bytes:
    """A good document in which a few stretches are something else."""
    content = good
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.binary(max_size=8)) + content[at + draw(st.integers(0, 12)) :]
    return content


@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(extension=st.sampled_from(EXTENSIONS), content=st.binary(max_size=2000))
async def test_the_process_gives_the_errors_of_the_contract(extension: str, content: bytes) -> None:
    end = await end_of(Extractor(LIMITS), ("", extension, content))
    assert isinstance(end, list | UnsupportedFileType | ExtractionFailed | TooLarge)


def children() -> set[int]:
    return {child.pid for child in psutil.Process(os.getpid()).children(recursive=True)}
