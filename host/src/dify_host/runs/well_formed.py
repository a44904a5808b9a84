"""Text that can be written: half of a surrogate pair, as a model's cut-off escape leaves it, has no UTF-8 form."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["make_well_formed", "well_formed"]


def well_formed(data: Any) -> Any:
    """Plain data in which every lone surrogate is U+FFFD; halves that belong together become their character."""
    if isinstance(data, str):
        return data.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(data, dict):
        return {well_formed(key): well_formed(item) for key, item in data.items()}
    if isinstance(data, list | tuple):
        return type(data)(well_formed(item) for item in data)
    return data


def make_well_formed(event: msgspec.Struct) -> None:
    """Do so with every field, in place: whoever sees the event after this sees what is written."""
    for name in event.__struct_fields__:
        setattr(event, name, well_formed(getattr(event, name)))
