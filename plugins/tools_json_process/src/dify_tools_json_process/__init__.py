"""Tools that read and change JSON by JSONPath."""

__all__: list[str] = []
