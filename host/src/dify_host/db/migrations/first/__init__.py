"""The tables of the first revision, frozen: later changes are revisions of their own."""
