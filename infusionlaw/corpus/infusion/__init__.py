"""The infusion: which fact is stated where and how often, and the ledger that proves it."""
