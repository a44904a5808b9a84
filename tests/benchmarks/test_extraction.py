"""What reading documents costs: memory and time of long ones, and CPU of one beside loading its parser for it."""

from __future__ import annotations

import asyncio
import io
import sys
import time

import openpyxl
import psutil
import pytest
from dify_host.knowledge.extract.extractor import Extractor
from dify_kernel.fork_server import fork_server

from .figures import command_cpu, show, tree_cpu

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

CHILD = "dify_host.knowledge.extract.child"
PAGES, LINES, MAX_MB, PAGE_MS = 1000, 50, 400.0, 20.0
WARM_OF_COLD = 0.5


def long_pdf(pages: int) -> bytes:
    """Pages of fifty lines of text each."""
    words = "The quick brown fox jumps over the lazy dog and goes on with its way through the night."
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for number in range(pages):
        lines = "".join(f"({number} {line} {words}) Tj 0 -14 Td " for line in range(LINES))
        stream = f"BT /F 9 Tf 40 780 Td {lines}ET"
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {len(objects)} 0 R "
            "/Resources << /Font << /F 3 0 R >> >> >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {pages} >>"
    body, offsets = "%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    head = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer << /Size {size} /Root 1 0 R >>\n"
    return f"{body}{head}startxref\n{len(body)}\n%%EOF".encode()


def small_xlsx() -> bytes:
    """A workbook of two rows."""
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in (["name", "price"], ["tea", 2]):
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


async def test_a_thousand_pages() -> None:
    data = long_pdf(PAGES)
    extractor = Extractor()
    await extractor.extract(long_pdf(1), "a.pdf")
    server = next(each for each in psutil.Process().children() if CHILD in each.cmdline())
    began = time.perf_counter()
    task = asyncio.create_task(extractor.extract(data, "a.pdf"))
    peak = 0.0
    while not task.done():
        for child in server.children():
            try:
                peak = max(peak, child.memory_info().rss / 1e6)
            except psutil.NoSuchProcess:
                continue
        await asyncio.wait([task], timeout=0.01)
    took = time.perf_counter() - began
    texts = await task
    assert len(texts) == PAGES
    assert all(f"{number} 49 The quick" in text.text for number, text in enumerate(texts))
    show(
        f"a PDF of {PAGES} pages, {len(data) / 1e6:.1f} MB",
        ("", "measured", "bound"),
        [
            ("memory of the reading process, MB", f"{peak:.0f}", f"{MAX_MB:g}"),
            ("a page, ms", f"{took * 1000 / PAGES:.2f}", f"{PAGE_MS:g}"),
        ],
    )
    assert 0 < peak < MAX_MB
    assert took * 1000 / PAGES < PAGE_MS


async def test_a_document_costs_less_than_loading_its_parser() -> None:
    documents = {"pdf": (long_pdf(1), "pypdfium2"), "xlsx": (small_xlsx(), "openpyxl"), "html": (b"<p>x", "lxml.etree")}
    extractor = Extractor()
    await extractor.extract(b"<p>x", "a.html")
    server = next(each for each in psutil.Process().children() if CHILD in each.cmdline())
    rows = []
    for extension, (data, library) in documents.items():
        before = tree_cpu(server)
        for _ in range(20):
            await extractor.extract(data, f"a.{extension}")
        warm = (tree_cpu(server) - before) / 20
        cold = command_cpu([sys.executable, "-I", "-c", f"import {CHILD}, {library}"])
        rows.append((extension, f"{warm * 1000:.0f}", f"{cold * 1000:.0f}"))
        assert warm < cold * WARM_OF_COLD, extension
    show("CPU of a small document, ms", ("", "in a forked process", "loading the parser alone"), rows)
    fork_server(CHILD).close()
