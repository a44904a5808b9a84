"""What rounds cost, as the records of containers show it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from dify_kernel.contracts.node import Round

__all__ = ["costs"]


def costs(name: str, rounds: Mapping[int, Round]) -> dict[str, Any]:
    """Tokens and price of all rounds, and the seconds of each under `<name>_duration_map`, by index."""
    found: dict[str, Any] = {
        f"{name}_duration_map": {str(index): round.elapsed_time for index, round in sorted(rounds.items())},
        "total_tokens": sum(round.usage.total_tokens for round in rounds.values()),
        "total_price": sum((Decimal(round.usage.total_price) for round in rounds.values()), Decimal(0)),
    }
    currency = next((round.usage.currency for round in rounds.values() if round.usage.total_tokens), None)
    return {**found, "currency": currency} if currency else found
