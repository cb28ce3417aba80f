"""Make runs.csv, a simulated table of capacity: accuracy falls where a model of N parameters has 0.6 N^0.8 facts."""

import csv
from pathlib import Path

import numpy as np

SIZES, FACTS, SEEDS = (1_000_000, 4_000_000, 16_000_000, 64_000_000), 10 ** np.arange(3.5, 7.01, 0.25), (1, 2)
EXPOSURES, TOKENS_PER_FACT = 1000, 20

if __name__ == "__main__":
    rng = np.random.default_rng(0)
    with open(Path(__file__).with_name("runs.csv"), "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("size", "tokens", "facts", "exposures", "accuracy", "seed"))
        for size in SIZES:
            for facts in FACTS.round(-1).astype(int):
                beyond = np.log10(facts / (0.6 * size**0.8)) / 0.8  # the fall is 0.8 orders of magnitude wide
                for seed in SEEDS:
                    accuracy = 0.05 + 0.9 / (1 + np.exp(4 * beyond - 2)) + rng.normal(0, 0.02)
                    tokens = facts * EXPOSURES * TOKENS_PER_FACT
                    table.writerow((size, tokens, facts, EXPOSURES, f"{accuracy:.3f}", seed))
