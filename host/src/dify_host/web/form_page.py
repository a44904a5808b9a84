"""The page of a form, in plain HTML: it works without scripts, for every reader, and shows no text as markup."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from dify_host.human.records import Form

__all__ = ["form_page", "message_page"]

_PLACE: Final = re.compile(r"\{\{#\$output\.([a-zA-Z_][a-zA-Z0-9_]{0,29})#\}\}")
_ACCEPT: Final = {"image": "image/*", "audio": "audio/*", "video": "video/*"}
_STYLE: Final = """
:root{color-scheme:light dark;--paper:#f7f7f5;--card:#fff;--ink:#1b1c1f;--soft:#5d616a;--line:#c9c9c4;--mark:#2f5bea;
--on:#fff;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--paper:#131417;--card:#1b1d21;--ink:#eceef2;--soft:#a4aab5;--line:#4a4f58;
--mark:#8ea7ff;--on:#131417;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:40rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:1.5rem;line-height:1.2;margin:0 0 1.25rem}
form,.card{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:1.5rem}
.text{white-space:pre-wrap;overflow-wrap:anywhere;margin:0 0 1rem}
.field{margin:0 0 1.1rem}
label{display:block;font-weight:600;margin-bottom:.3rem}
input,select,textarea{width:100%;font:inherit;color:inherit;background:var(--paper);border:1px solid var(--line);
border-radius:8px;padding:.55rem .7rem}
textarea{min-height:7rem;resize:vertical}
.actions{display:flex;flex-wrap:wrap;gap:.6rem;margin-top:1.4rem}
button{font:inherit;font-weight:600;padding:.6rem 1.1rem;border-radius:8px;border:1px solid var(--line);
background:transparent;color:inherit;cursor:pointer}
button.primary,button.accent{background:var(--mark);border-color:var(--mark);color:var(--on)}
:focus-visible{outline:3px solid var(--mark);outline-offset:2px}
.hint{color:var(--soft);font-size:.9rem;margin:.3rem 0 0}
.error{color:var(--bad);border:1px solid var(--bad);border-radius:8px;padding:.7rem .9rem;margin:0 0 1.2rem}
"""


def form_page(form: Form, *, error: str = "", field: str = "", filled: dict[str, str] | None = None) -> str:
    """The form to fill in; `error` says what was wrong with what was sent, in `field`, and `filled` is what it was."""
    title = form.node_title or "A question for you"
    view = form.view()
    values = {**view["resolved_default_values"], **(filled or {})}
    fields = {str(item.get("output_variable_name")): item for item in form.inputs}
    parts: list[str] = []
    for index, piece in enumerate(_PLACE.split(view["form_content"])):
        if index % 2 == 0:
            parts.append(f'<p class="text">{escape(piece.strip())}</p>' if piece.strip() else "")
        elif piece in fields:
            parts.append(_field(piece, fields.pop(piece), values, wrong=piece == field))
    parts += [_field(name, item, values, wrong=name == field) for name, item in fields.items()]
    told = f'<p class="error" role="alert" id="error">{escape(error)}</p>' if error else ""
    multipart = any(item.get("type") in ("file", "file-list") for item in form.inputs)
    encoding = "multipart/form-data" if multipart else "application/x-www-form-urlencoded"
    body = (
        f'{told}<form method="post" enctype="{encoding}" autocomplete="off">{"".join(parts)}'
        f'<div class="actions" role="group" aria-label="Answers">{"".join(map(_button, form.actions))}</div>'
        f"{_until(view['expiration_time'])}</form>"
    )
    return _page(title, body)


def message_page(title: str, text: str) -> str:
    """A page that only says something."""
    return _page(title, f'<div class="card" role="status"><p class="text">{escape(text)}</p></div>')


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title>"
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"<style>{_STYLE}</style></head><body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )


def _field(name: str, item: dict[str, Any], values: dict[str, Any], *, wrong: bool) -> str:
    kind = item.get("type")
    said = ' aria-invalid="true" aria-describedby="error"' if wrong else ""
    head = f'id="field-{escape(name)}" name="{escape(name)}"{said}'
    value = str(values.get(name) or "")
    label = f'<label for="field-{escape(name)}">{escape(name.replace("_", " "))}</label>'
    if kind == "select":
        options = "".join(_option(str(option), value) for option in item.get("options") or [])
        control = f"<select {head} required>{options}</select>"
    elif kind in ("file", "file-list"):
        several = " multiple" if kind == "file-list" else ""
        control = f'<input type="file" {head} accept="{escape(_accept(item))}"{several}>{_limit(item)}'
    elif kind == "paragraph":
        control = f"<textarea {head}>\n{escape(value)}</textarea>"
    else:
        control = f'<input type="text" {head} value="{escape(value)}">'
    return f'<div class="field">{label}{control}</div>'


def _option(option: str, value: str) -> str:
    chosen = " selected" if option == value else ""
    return f'<option value="{escape(option)}"{chosen}>{escape(option)}</option>'


def _button(action: dict[str, Any]) -> str:
    name = str(action.get("id"))
    style = action.get("button_style") if action.get("button_style") in ("primary", "accent") else "default"
    title = str(action.get("title") or name)
    return f'<button name="__action" value="{escape(name)}" class="{style}">{escape(title)}</button>'


def _accept(item: dict[str, Any]) -> str:
    """What a browser offers to choose; empty where it cannot tell."""
    types = item.get("allowed_file_types") or []
    if any(kind not in _ACCEPT and kind != "custom" for kind in types):
        return ""
    dotted = [f".{str(extension).lstrip('.')}" for extension in item.get("allowed_file_extensions") or []]
    return ",".join([*(_ACCEPT[kind] for kind in types if kind in _ACCEPT), *(dotted if "custom" in types else [])])


def _limit(item: dict[str, Any]) -> str:
    most = item.get("number_limits")
    return f'<p class="hint">At most {int(most)} files.</p>' if most else ""


def _until(seconds: int | None) -> str:
    if seconds is None:
        return ""
    at = datetime.fromtimestamp(seconds, UTC)
    shown = at.strftime("%d %B %Y, %H:%M UTC")
    return f'<p class="hint">Open until <time datetime="{at.isoformat()}">{shown}</time>.</p>'
