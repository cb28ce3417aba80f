"""Laws of losses: what a share of domain text does to each loss of a table, and which share a limit allows."""
