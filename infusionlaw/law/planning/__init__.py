"""From a law to a plan for one target: the dose, its limits, a forecast, and what would change the answer."""
