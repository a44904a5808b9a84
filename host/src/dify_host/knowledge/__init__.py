"""What apps can look up: datasets, documents, segments and how they are indexed."""
