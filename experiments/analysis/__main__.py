"""The command line."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.analysis.check import differences
from experiments.analysis.families import draw
from experiments.analysis.findings import Findings
from experiments.analysis.pages import render
from infusionlaw.files import write_text
from infusionlaw.processes import cores

SHOWN = 10  # differences of a page


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m experiments.analysis", description="Write the pages of results.")
    parser.add_argument("--experiments", type=Path, default=Path("experiments"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where a page says something else")
    given = parser.parse_args(arguments)
    findings = Findings(given.experiments, cores())
    pages = render(findings)
    if given.check:
        check(pages, given.out)
        return
    for name, text in pages.items():
        write_text(given.out / f"{name}.md", text)
    draw(findings, given.out)
    print(f"wrote {len(pages)} pages and their figures into {given.out}")


def check(pages: Mapping[str, str], folder: Path) -> None:
    """Compare pages with those in a folder; SystemExit with the differences where one says something else."""
    committed = {path.stem: path.read_text(encoding="utf8") for path in folder.glob("*.md")}
    wrong = []
    for name in sorted(pages.keys() | committed.keys()):
        found = differences(committed.get(name, ""), pages.get(name, ""))
        wrong += [f"{folder / name}.md: {each}" for each in found[:SHOWN]]
        wrong += [f"{folder / name}.md: {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    if wrong:
        raise SystemExit("\n".join([*wrong, "Run scripts/reproduce and commit what it writes."]))
    print(f"the {len(pages)} pages in {folder} say what their tables say")


if __name__ == "__main__":
    main()
