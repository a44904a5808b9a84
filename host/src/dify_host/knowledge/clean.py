"""Cleans extracted text before it is cut: markers and control characters always, blanks and addresses by rule."""

from __future__ import annotations

import re

from dify_host.knowledge.rules import Rules

__all__ = ["clean"]

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe]")
_NEWLINES = re.compile(r"\n{3,}")
_BLANKS = re.compile(r"[\t\f\r \u00a0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000]{2,}")
# One pass over Markdown links (kept), e-mail addresses and URLs (dropped). No alternative can start twice on the
# same run of characters, so the time stays linear whatever the text is.
_ADDRESSES = re.compile(
    r"(?P<link>!?\[[^\[\]\n]*\]\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\))"
    r"|(?<![\w.%+-])[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}"
    r"|https?://[^\s<>\"'`()\[\]{}，。；！？、（）【】《》]+"
)


def clean(text: str, rules: Rules) -> str:
    """Return the text without what would only disturb a search; the rules say how far to go."""
    text = _CONTROL.sub("", text.replace("<|", "<").replace("|>", ">"))
    if rules.enabled("remove_extra_spaces"):
        text = _BLANKS.sub(" ", _NEWLINES.sub("\n\n", text))
    if rules.enabled("remove_urls_emails"):
        text = _ADDRESSES.sub(lambda match: match["link"] or "", text)
    return text
