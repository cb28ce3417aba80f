"""Write losses.csv: simulated training of three checkpoints on Python code, at two token counts and five shares.

    python examples/losses/make_losses.py

The loss on encyclopaedia articles and on web pages rises with the share of code, that on code falls, each by a form of
`infusionlaw.law.surfaces` with noise of .2 %. Columns are named as a tracker exports them. Two runs crashed.
"""

import csv
from pathlib import Path

import numpy as np

CHECKPOINTS = {70e6: (3.05, 3.32, 1.92), 160e6: (2.82, 3.11, 1.70), 410e6: (2.55, 2.86, 1.46)}  # losses of the starts
TOKENS, SHARES, CRASHED = (1e9, 4e9), (0.1, 0.25, 0.5, 0.75, 0.9), ((160e6, 4e9, 0.5), (410e6, 1e9, 0.9))
HEAD = (
    *("Name", "State", "config/model/n_params", "config/train_tokens", "config/domain_share"),
    *("val_loss:wiki", "val_loss:web", "domain_loss:python"),
    *("start_val_loss:wiki", "start_val_loss:web", "start_domain_loss:python"),
)


def losses(size: float, tokens: float, share: float, starts: tuple[float, ...]) -> tuple[float, ...]:
    """The losses on articles, web pages and code after training with a share of code."""
    moved = (size / 1e8) ** -0.1 * (tokens / 1e9) ** 0.15
    rises = (0.55 * np.exp(-3.5 * (1 - share)) - 0.04, 0.4 * np.exp(-3.0 * (1 - share)) - 0.04)
    falls = 0.5 * (1 - np.exp(-3.0 * share))
    wiki, web, python = starts
    return wiki + moved * rises[0], web + moved * rises[1], python - moved * falls


def main() -> None:
    """Write the table beside this script."""
    rng = np.random.default_rng(0)
    with (Path(__file__).parent / "losses.csv").open("w", newline="", encoding="utf8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEAD)
        for size, starts in CHECKPOINTS.items():
            for tokens in TOKENS:
                for share in SHARES:
                    lost = (size, tokens, share) in CRASHED
                    measured = np.array(losses(size, tokens, share, starts)) * rng.normal(1, 0.002, 3)
                    shown = ["" if lost else f"{value:.4f}" for value in measured]
                    name, state = f"{size / 1e6:.0f}m-{tokens / 1e9:.0f}b-{share:g}", "crashed" if lost else "finished"
                    writer.writerow([name, state, f"{size:.0f}", f"{tokens:.0f}", share, *shown, *starts])


if __name__ == "__main__":
    main()
