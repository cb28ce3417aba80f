"""Benchmarks: not part of the installed package. `python -m benchmarks.calibration` asks whether the intervals hold."""
