"""Knowledge pipelines: workflows that make documents of what data sources give, and how they are started."""
