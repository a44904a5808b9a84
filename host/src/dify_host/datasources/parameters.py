"""What a source is asked for, from the two spellings that forms and requests use. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from dify_kernel.forms import decode_form

__all__ = ["parameters_of"]

#: Other names of the same: those of the console's website form, and of published data source nodes.
_SPELLINGS: Final = {
    "crawl_subpages": "crawl_sub_pages",
    "includes": "include_paths",
    "excludes": "exclude_paths",
}


def parameters_of(struct: type[msgspec.Struct], values: Mapping[str, Any]) -> Any:
    """The struct of a source's parameters; what it has no field for is left out. BadInput names a wrong field."""
    spelled = {_SPELLINGS.get(name, name): value for name, value in values.items()}
    return decode_form(struct, {name: value for name, value in spelled.items() if name in struct.__struct_fields__})
