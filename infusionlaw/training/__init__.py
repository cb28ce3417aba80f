"""Train models and probe them. Needs torch."""
