"""The command line.

Another processor may round the last digit of a fit another way, so `--check` asks for the same tables and the same
words, not for the same digits.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results.page import MADE_FROM, page
from infusionlaw.files import write_text
from infusionlaw.processes import cores


def agree(before: str, after: str) -> bool:
    """Whether two pages were made from the same files and say the same but for digits."""
    first, second = (page.partition(MADE_FROM) for page in (before, after))
    return first[2] == second[2] and _words(first[0]) == _words(second[0])


def _words(text: str) -> list[str]:
    return re.sub(r"[+-]?\d[\d.,]*", "#", text).split()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results", description="Write the page of results.")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"))
    parser.add_argument(
        "--check", action="store_true", help="fail if the page was made from other tables, or says else"
    )
    given = parser.parse_args(arguments)
    before = given.out.read_text(encoding="utf8") if given.out.exists() else ""
    after = page(given.results, given.out.with_suffix(""), cores())
    write_text(given.out, after)
    print(f"wrote {given.out}, {'the same as before' if after == before else 'which is not what it was'}")
    if given.check and not agree(before, after):
        raise SystemExit(f"{given.out} was out of date; commit it as it is now")


if __name__ == "__main__":
    main()
