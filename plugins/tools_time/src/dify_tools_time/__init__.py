"""Tools that tell the time, convert it between zones, and name the weekday of a date."""

__all__: list[str] = []
