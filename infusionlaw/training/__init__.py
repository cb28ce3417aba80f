"""Models, the training loop and the probes. Needs torch."""
