"""Every kept run by its name."""

from __future__ import annotations

from . import cases_core, cases_flow, cases_models
from .case import Case

__all__ = ["CASES"]

CASES: dict[str, Case] = {**cases_core.CASES, **cases_models.CASES, **cases_flow.CASES}
