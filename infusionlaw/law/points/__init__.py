"""From rows to points: curves, the shapes they may have, and where each shape puts the points."""
