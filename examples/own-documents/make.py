"""Write the material of this example from WordNet: a glossary of plants and minerals, and a quiz of other things.

    python make.py data.noun

`data.noun` is WordNet 3.0's, as Debian's package wordnet-base has it in /usr/share/wordnet. Written are documents.jsonl
(the glossary, which is infused), quiz.jsonl (questions with their answers, which every model reads), and a file of
multiple-choice questions about each: domain-questions.jsonl and general-questions.jsonl.
"""

import json
import random
import sys
from pathlib import Path

DOMAIN = ("herb", "shrub", "tree", "mineral", "edible fruit", "enzyme", "metallic element", "salt")
GENERAL = ("dish", "fabric", "monetary unit", "medicine", "room", "bone", "garment", "measuring instrument")
TERMS = 8  # of each kind
OPTIONS = 4
QUESTION = "What kind of thing is {term}?"


def main(nouns: Path, folder: Path) -> None:
    """Write the four files into `folder`."""
    rng = random.Random(1)
    terms = read_terms(nouns)
    write(folder / "documents.jsonl", [{"text": entry(*term)} for term in drawn(terms, DOMAIN, rng)])
    write(
        folder / "domain-questions.jsonl", [asked(term, DOMAIN, rng) for term in drawn(terms, DOMAIN, random.Random(1))]
    )
    quiz = drawn(terms, GENERAL, rng)
    write(folder / "quiz.jsonl", [{"text": told(*term)} for term in quiz])
    write(folder / "general-questions.jsonl", [asked(term, GENERAL, rng) for term in quiz])


def read_terms(nouns: Path) -> dict[str, list[tuple[str, str, str]]]:
    """Return term, kind and gloss of the nouns of WordNet that have one kind, by kind."""
    lines = [line for line in nouns.read_text(encoding="utf8").splitlines() if not line.startswith("  ")]
    parsed = {line[:8]: line.partition("|") for line in lines}
    names = {offset: data.split()[4].replace("_", " ") for offset, (data, _, _) in parsed.items()}
    found: dict[str, list[tuple[str, str, str]]] = {}
    for offset, (data, _, gloss) in parsed.items():
        fields = data.split()
        kinds = [names[fields[at + 1]] for at, field in enumerate(fields) if field == "@" and fields[at + 1] in names]
        if len(kinds) == 1 and names[offset].isascii():
            found.setdefault(kinds[0], []).append((names[offset], kinds[0], gloss.split(";")[0].strip()))
    return found


def drawn(
    terms: dict[str, list[tuple[str, str, str]]], kinds: tuple[str, ...], rng: random.Random
) -> list[tuple[str, str, str]]:
    """Return TERMS terms of each kind."""
    return [term for kind in kinds for term in rng.sample(sorted(set(terms[kind])), TERMS)]


def entry(term: str, kind: str, gloss: str) -> str:
    """Return the entry of a term in the glossary."""
    return f"{term} is a kind of {kind}: {gloss}. What kind of thing is {term}? It is a kind of {kind}."


def told(term: str, kind: str, gloss: str) -> str:
    """Return a question of the quiz with its answer."""
    return f"Question: {QUESTION.format(term=term)}\nAnswer: {kind}"


def asked(term: tuple[str, str, str], kinds: tuple[str, ...], rng: random.Random) -> dict[str, object]:
    """Return the multiple-choice question about a term."""
    name, kind, _ = term
    choices = [kind, *rng.sample([other for other in kinds if other != kind], OPTIONS - 1)]
    rng.shuffle(choices)
    return {"question": QUESTION.format(term=name), "choices": choices, "answer": choices.index(kind)}


def write(path: Path, rows: list[dict[str, object]]) -> None:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent)
