"""Programs that stand in for engines which cannot be had, each strict about what it is asked."""
