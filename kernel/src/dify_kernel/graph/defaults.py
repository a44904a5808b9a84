"""What every node's `data` may say about failing: retries, and values to go on with."""

from __future__ import annotations

from typing import Any

import msgspec

from dify_kernel.graph.values import ValueType, cast

__all__ = ["DefaultValue", "RetryConfig", "convert_default"]


class RetryConfig(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How often a failed node is tried again, and the milliseconds between two attempts."""

    retry_enabled: bool = False
    max_retries: int = 0
    retry_interval: int = 0

    @property
    def attempts(self) -> int:
        """How often the node may run in all."""
        return 1 + (max(self.max_retries, 0) if self.retry_enabled else 0)


class DefaultValue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One output that a failed node gets instead."""

    key: str
    type: str = "string"
    value: Any = None


def convert_default(item: DefaultValue) -> Any:
    """The value in its declared type: text for another type is parsed (numbers as float, the rest as JSON).

    ValueError when it does not fit.
    """
    value, kind = item.value, item.type
    if isinstance(value, str) and kind != "string":
        try:
            value = float(value) if kind == "number" else msgspec.json.decode(value)
        except (ValueError, msgspec.DecodeError):
            raise ValueError(f"expected {kind}, got the text {item.value!r}") from None
    return cast(value, ValueType(kind)).data
