"""One small whole document of every format, each with the word `marigold` in it."""

from __future__ import annotations

from .documents import make_docx, make_pdf, make_xlsx
from .more_documents import make_epub, make_msg, make_ods, make_odt, make_pptx, make_xls

__all__ = ["WORD", "good_documents"]

WORD = "marigold"


def good_documents() -> dict[str, bytes]:
    """The documents by extension."""
    run = f"<p:sp><a:p><a:r><a:t>{WORD}</a:t></a:r></a:p></p:sp>"
    cells = "".join(f"<table:table-cell><text:p>{text}</text:p></table:table-cell>" for text in ("name", WORD))
    rows = f"<table:table-row>{cells}</table:table-row>" * 2
    msg = {"__properties_version1.0": bytes(32), "__substg1.0_1000001F": WORD.encode("utf-16-le") * 3000}
    return {
        "txt": f"A {WORD}.\n".encode() * 20,
        "md": f"# Head\n{WORD}\n```\ncode\n```\n".encode() * 20,
        "html": f"<html><head><title>T</title></head><body><p>{WORD}</p><table><tr><td>x</table>".encode() * 20,
        "csv": f'name,flower\nAda,"{WORD}"\n'.encode() * 20,
        "json": f'[{{"flower": "{WORD}", "numbers": [1, 2.5, null]}}]'.encode(),
        "jsonl": f'{{"flower": "{WORD}"}}\n'.encode() * 20,
        "xml": f'<?xml version="1.0"?><r><flower n="1">{WORD}</flower></r>'.encode(),
        "rtf": b"{\\rtf1\\ansi{\\fonttbl{\\f0 Arial;}}\\f0 " + WORD.encode() * 50 + b"\\par}",
        "eml": f"Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n{WORD}\n".encode() * 2,
        "msg": make_msg(msg),
        "pdf": make_pdf([WORD, WORD]),
        "docx": make_docx([WORD], [["a", "b"], ["c", "d"]]),
        "xlsx": make_xlsx([["name", "flower"], ["Ada", WORD]]),
        "xls": make_xls([["name", "flower"], ["Ada", WORD]] * 10),
        "pptx": make_pptx([run, run], {0: WORD}),
        "epub": make_epub({"a.xhtml": f"<p>{WORD}</p>", "b.xhtml": "<p>b</p>"}),
        "odt": make_odt(f"<text:p>{WORD}</text:p>"),
        "ods": make_ods(f'<table:table table:name="S">{rows}</table:table>'),
    }
