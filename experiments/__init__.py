"""Our own studies: one dated folder each, and their analysis."""
