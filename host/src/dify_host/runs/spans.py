"""Spans of time as people write them: a number and one of d, h, m, s, as `7d`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from dify_kernel.errors import BadInput

__all__ = ["read_span"]

_SPAN: Final = re.compile(r"([1-9][0-9]{0,4})([dhms])")
_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def read_span(text: str, field: str) -> timedelta:
    """The span that a text means; BadInput, which names the field, for any other text."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise BadInput(f"{field} is {text[:20]!r}.", hint="Use a number and d, h, m or s, as 7d.", field=field)
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
