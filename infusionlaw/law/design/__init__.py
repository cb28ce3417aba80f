"""Which runs to do: simulated worlds, the power of a design, and the most telling next doses."""
