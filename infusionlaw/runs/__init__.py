"""The seam between training and the law: what a run is, what came of it, and tables of runs."""
