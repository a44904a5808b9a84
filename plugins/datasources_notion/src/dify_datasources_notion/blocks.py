"""Writes Notion's blocks and the properties of its database rows as Markdown. Pure.

Block types: https://developers.notion.com/reference/block; properties: …/reference/page-property-values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

__all__ = ["Block", "block_text", "property_lines", "title_of"]

_PREFIXES: Final = {
    "heading_1": "# ",
    "heading_2": "## ",
    "heading_3": "### ",
    "bulleted_list_item": "- ",
    "toggle": "- ",
    "quote": "> ",
    "callout": "> ",
}
#: Blocks that only hold others: their children stand where they are.
_HOLDERS: Final = ("column_list", "column", "synced_block", "template")


class Block(msgspec.Struct, frozen=True):
    """A block as Notion gives it, and the blocks below it."""

    data: Mapping[str, Any]
    children: list[Block] = []

    @property
    def type(self) -> str:
        """What it is."""
        return str(self.data.get("type") or "")

    @property
    def value(self) -> Mapping[str, Any]:
        """What its type says of it."""
        found = self.data.get(self.type)
        return found if isinstance(found, dict) else {}


def block_text(blocks: Sequence[Block], indent: str = "") -> str:
    """The blocks as Markdown; what is below a block is indented by two spaces, a table is a Markdown table."""
    lines: list[str] = []
    number, before = 0, ""
    for block in blocks:
        kind = block.type
        number = number + 1 if kind == "numbered_list_item" else 0
        if lines and not (kind.endswith("_list_item") and kind == before):
            lines.append("")
        lines += _lines(block, number, indent)
        before = kind
    return "\n".join(_single_gaps(lines))


def _lines(block: Block, number: int, indent: str) -> list[str]:
    kind = block.type
    if kind == "table":
        return [indent + line for line in _table(block)]
    own = _own(block, number)
    if kind in _HOLDERS:
        return block_text(block.children, indent).split("\n")
    lines = [indent + line for line in own.split("\n")] if own else []
    if block.children:
        deeper = "" if kind.startswith("heading_") else "  "
        lines += block_text(block.children, indent + deeper).split("\n")
    return lines


def _own(block: Block, number: int) -> str:
    kind, value = block.type, block.value
    text = _rich(value.get("rich_text"))
    match kind:
        case "numbered_list_item":
            return f"{number}. {text}"
        case "to_do":
            return f"- [{'x' if value.get('checked') else ' '}] {text}"
        case "code":
            return f"```{value.get('language') or ''}\n{_plain(value.get('rich_text'))}\n```"
        case "equation":
            return f"$${value.get('expression') or ''}$$"
        case "divider":
            return "---"
        case "child_page" | "child_database":
            return str(value.get("title") or "")
        case "bookmark" | "embed" | "link_preview":
            return " ".join(part for part in (_rich(value.get("caption")), str(value.get("url") or "")) if part)
        case "image" | "video" | "file" | "pdf" | "audio":
            return _rich(value.get("caption"))
    prefix = _PREFIXES.get(kind, "")
    return prefix + text.replace("\n", "\n> " if prefix == "> " else "\n") if text else ""


def _table(block: Block) -> list[str]:
    rows = [
        [_rich(cell).replace("|", "\\|").replace("\n", "<br>") for cell in row.value.get("cells") or ()]
        for row in block.children
        if row.type == "table_row"
    ]
    width = max((len(row) for row in rows), default=0)
    if not width:
        return []
    if not block.value.get("has_column_header"):
        rows.insert(0, [""] * width)
    lines = [f"| {' | '.join([*row, *[''] * (width - len(row))])} |" for row in rows]
    return [lines[0], "|" + " --- |" * width, *lines[1:]]


def _single_gaps(lines: Sequence[str]) -> list[str]:
    """The lines, of empty ones next to each other only one, and none at the ends."""
    found: list[str] = []
    for line in lines:
        if line.strip() or (found and found[-1].strip()):
            found.append(line)
    while found and not found[-1].strip():
        found.pop()
    return found


def _rich(parts: Any) -> str:
    """Rich text with its links."""
    words = []
    for part in parts if isinstance(parts, list) else ():
        text, href = str(part.get("plain_text") or ""), part.get("href")
        linked = isinstance(href, str) and href.startswith(("https://", "http://")) and text.strip()
        words.append(f"[{text}]({href})" if linked else text)
    return "".join(words)


def _plain(parts: Any) -> str:
    return "".join(str(part.get("plain_text") or "") for part in parts if isinstance(part, dict)) if parts else ""


# -- properties ----------------------------------------------------------------------------------------------


def title_of(item: Mapping[str, Any]) -> str:
    """The title of a page, a row or a database; `Untitled` without one."""
    parts = item.get("title")
    for value in (item.get("properties") or {}).values():
        if item.get("object") == "page" and isinstance(value, dict) and value.get("type") == "title":
            parts = value.get("title")
    return " ".join(_plain(parts).split()) or "Untitled"


def property_lines(page: Mapping[str, Any]) -> list[str]:
    """`name: value` for every property that has one, in the order of the database."""
    lines = []
    for name, value in (page.get("properties") or {}).items():
        if isinstance(value, dict) and (text := _property(value)):
            lines.append(f"{name}: {text}")
    return lines


def _property(value: Mapping[str, Any]) -> str:
    kind = str(value.get("type") or "")
    found = value.get(kind)
    match kind:
        case "title" | "rich_text":
            return _rich(found)
        case "select" | "status":
            return _name(found)
        case "multi_select" | "people" | "files":
            return ", ".join(text for item in found or () if (text := _name(item)))
        case "created_by" | "last_edited_by":
            return _name(found)
        case "date":
            return _date(found)
        case "checkbox":
            return "yes" if found else "no"
        case "formula":
            return _property(found) if isinstance(found, dict) else ""
        case "rollup":
            return _rollup(found)
        case "unique_id":
            return _unique(found)
        case "relation":
            return ""  # ids of other pages, which say nothing to a reader
    return "" if found is None or isinstance(found, dict | list) else _number(found)


def _rollup(found: Any) -> str:
    if not isinstance(found, dict):
        return ""
    if found.get("type") == "array":
        return ", ".join(text for item in found.get("array") or () if (text := _property(item)))
    return _property(found)


def _unique(found: Any) -> str:
    if not isinstance(found, dict) or found.get("number") is None:
        return ""
    prefix = found.get("prefix")
    return f"{prefix}-{found['number']}" if prefix else str(found["number"])


def _date(found: Any) -> str:
    if not isinstance(found, dict):
        return ""
    return " to ".join(str(found[end]) for end in ("start", "end") if found.get(end))


def _name(found: Any) -> str:
    return str(found.get("name") or "") if isinstance(found, dict) else ""


def _number(found: Any) -> str:
    if isinstance(found, bool):
        return "yes" if found else "no"
    return str(int(found)) if isinstance(found, float) and found.is_integer() else str(found)
