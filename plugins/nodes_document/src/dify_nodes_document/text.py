"""Reads what is written as text: bytes of any encoding, JSON, YAML, properties, and the words of HTML."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from dify_nodes_document.formats import extraction_failed

__all__ = ["decode", "html_text", "read_json", "read_properties", "read_yaml"]

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
#: The most bytes that guessing an encoding looks at.
_SAMPLE = 1024 * 1024
_HIDDEN = frozenset(("script", "style", "noscript", "template", "head"))
_BLOCK_NAMES = (
    "address article aside blockquote dd div dl dt figcaption figure footer h1 h2 h3 h4 h5 h6 header hr li main nav ol "
    "p pre section table tr ul"
)
_BLOCKS = frozenset(_BLOCK_NAMES.split())


def decode(data: bytes) -> str:
    """Decode by byte-order mark, as UTF-8, or by the most likely encoding; bad bytes become U+FFFD."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        from charset_normalizer import from_bytes

        best = from_bytes(data[:_SAMPLE]).best()
        return data.decode(best.encoding if best else "utf-8", "replace")


def read_json(data: bytes) -> str:
    """JSON, written again with an indent of two."""
    try:
        return json.dumps(json.loads(decode(data)), indent=2, ensure_ascii=False)
    except ValueError as exc:
        raise extraction_failed("JSON", exc) from exc


def read_yaml(data: bytes) -> str:
    """Every document of a YAML file, written again; tags that would make objects are refused."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    try:
        documents = list(yaml.load_all(decode(data), Loader=loader))
        written: str = yaml.dump_all(documents, Dumper=dumper, allow_unicode=True, sort_keys=False)
    except yaml.YAMLError as exc:
        raise extraction_failed("YAML", exc) from exc
    return written


def read_properties(data: bytes) -> str:
    """Java properties as `key: value` lines; comments and empty lines stay."""
    return "\n".join(_property(line.strip()) for line in decode(data).splitlines())


def _property(line: str) -> str:
    if not line or line[0] in "#!":
        return line
    at = min((place for place in (line.find("="), line.find(":")) if place >= 0), default=len(line))
    return f"{line[:at].strip()}: {line[at + 1 :].strip()}"


def html_text(page: str | bytes) -> str:
    """The words of a page, a line a block, in time that grows with its length alone."""
    import re

    from lxml import etree

    content = (page if isinstance(page, str) else decode(page)).replace("\0", "").encode("utf-8", "replace")
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    root = etree.fromstring(content, parser) if content.strip() else None
    if any(error.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT for error in parser.error_log):
        raise extraction_failed("HTML", "it is nested too deeply")
    words = "".join(_words(root)) if root is not None else ""
    lines = (re.sub(r"[ \t\xa0]+", " ", line).strip() for line in words.splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _words(root: Any) -> Iterator[str]:
    """The texts in their order, with the line ends that blocks have around them."""
    from lxml import etree

    hidden = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        name = element.tag
        begins = event == "start"
        if name in _HIDDEN:
            hidden += 1 if begins else -1
        if not hidden:
            if name in _BLOCKS or (name == "br" and begins):
                yield "\n"
            yield (element.text if begins and name not in _HIDDEN else element.tail if not begins else "") or ""
