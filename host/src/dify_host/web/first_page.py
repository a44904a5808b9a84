"""The page at `/`: what runs here, and how to go on. It shows nothing that a stranger may not know."""

from __future__ import annotations

from html import escape
from itertools import groupby
from typing import Final

import sqlalchemy as sa
from dify_kernel.registry import PluginReport
from litestar import Response, get

from dify_host.apps.tables import apps
from dify_host.http.callers import Call, platform_of
from dify_host.version import VERSION

__all__ = ["first_page"]

_KINDS: Final = {
    "vdb": "Vector stores",
    "storage": "Storages",
    "providers": "Model providers",
    "nodes": "Workflow nodes",
    "auth": "Logins",
    "tools": "Tools",
    "hooks": "Watchers",
}
_STEPS: Final = (
    ("Make the first account", "dify setup"),
    ("Add a model provider", "dify models add openai"),
    ("Import an app and run it", "dify app import FILE --publish"),
    ("Make a knowledge base and fill it", "dify kb create NAME"),
    ("Look at examples", "dify demo"),
    ("Check this installation", "dify doctor"),
)
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_STYLE: Final = """
:root{color-scheme:light dark;--paper:#f7f7f5;--card:#fff;--ink:#1b1c1f;--soft:#666a73;--line:#e3e3df;--mark:#2f5bea;
--good:#12805c;--bad:#b3261e;--code:#f0f0ec}
@media(prefers-color-scheme:dark){:root{--paper:#131417;--card:#1b1d21;--ink:#eceef2;--soft:#9aa0ab;--line:#2b2e34;
--mark:#8ea7ff;--good:#4cc38a;--bad:#ff8a80;--code:#24272d}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:62rem;margin:0 auto;padding:3.5rem 1.25rem 4rem}
h1{font-size:2.1rem;line-height:1.15;margin:0 0 .4rem;letter-spacing:-.02em}
h2{font-size:1.05rem;margin:0 0 .9rem}
p{margin:0 0 1rem;color:var(--soft)}
a{color:var(--mark)}
header{margin-bottom:2rem}
.tag{display:inline-block;font-size:.8rem;padding:.1rem .55rem;border:1px solid var(--line);border-radius:99px;
color:var(--soft);margin-right:.35rem;background:var(--card)}
.grid{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(18rem,1fr))}
section{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:1.25rem 1.35rem}
section.wide{grid-column:1/-1;overflow-x:auto}
ol{list-style:none;margin:0;padding:0;display:grid;gap:.7rem}
li span{display:block;font-size:.9rem;color:var(--soft)}
code{font:.88rem/1.5 ui-monospace,SFMono-Regular,Menlo,monospace;background:var(--code);padding:.12rem .4rem;
border-radius:6px}
table{width:100%;border-collapse:collapse;font-size:.93rem}
th{text-align:left;font-weight:600;color:var(--soft);font-size:.8rem;padding:.35rem .6rem .35rem 0}
td{padding:.4rem .6rem .4rem 0;border-top:1px solid var(--line);vertical-align:top}
tr.kind td{border-top:0;padding-top:1rem;font-weight:600}
.listed{color:var(--soft)}.loaded{color:var(--good)}.broken{color:var(--bad)}
"""


@get("/", include_in_schema=False, media_type="text/html")
async def first_page(request: Call) -> Response[str]:
    """Version, plugins with their states, the number of apps, and what to do next."""
    platform = platform_of(request)
    async with platform.db.read() as conn:
        count = (await conn.execute(sa.select(sa.func.count()).select_from(apps))).scalar_one()
    body = _page(count, platform.registry.reports())
    return Response(body, media_type="text/html", headers=_HEADERS)


def _page(app_count: int, reports: list[PluginReport]) -> str:
    counted = f"{app_count} app" + ("" if app_count == 1 else "s")
    broken = sum(report.state == "broken" for report in reports)
    plugins = f"{len(reports)} plugins" + (f", {broken} broken" if broken else "")
    steps = "".join(f"<li><span>{escape(text)}</span><code>{escape(command)}</code></li>" for text, command in _STEPS)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Dify</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main>"
        "<header><h1>Dify is running</h1><p>Build and serve AI apps over any model and any vector store.</p>"
        f'<span class="tag">version {escape(VERSION)}</span><span class="tag">{counted}</span>'
        f'<span class="tag">{plugins}</span></header>'
        f'<div class="grid"><section><h2>Next steps</h2><ol>{steps}</ol></section>{_api()}'
        f'<section class="wide"><h2>Plugins</h2>{_table(reports)}</section></div></main></body></html>'
    )


def _api() -> str:
    return (
        "<section><h2>Service API</h2><p>Apps and knowledge bases are called below <code>/v1</code> with an API key: "
        "<code>Authorization: Bearer app-…</code></p>"
        '<p><a href="/v1/openapi.json">Every route, as OpenAPI 3.1</a></p>'
        '<p><a href="/health">Whether this process is well</a></p></section>'
    )


def _table(reports: list[PluginReport]) -> str:
    rows = ["<table><tr><th>Name</th><th>Package</th><th>State</th></tr>"]
    ordered = sorted(reports, key=lambda report: (report.offer.kind, report.offer.name))
    for kind, group in groupby(ordered, key=lambda report: report.offer.kind):
        rows.append(f'<tr class="kind"><td colspan="3">{escape(_KINDS.get(kind, kind))}</td></tr>')
        for report in group:
            offer = report.offer
            rows.append(
                f"<tr><td>{escape(offer.name)}</td><td>{escape(offer.distribution)} {escape(offer.version)}</td>"
                f'<td class="{escape(report.state)}">{escape(report.state)}</td></tr>'
            )
    return "".join([*rows, "</table>"])
