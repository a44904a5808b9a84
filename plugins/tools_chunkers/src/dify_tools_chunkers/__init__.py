"""Tools that cut documents for knowledge pipelines: pieces, parents with children, questions with answers."""

__all__: list[str] = []
