"""Curves for people to watch, in the trackers that they have. Nothing here changes a result."""
