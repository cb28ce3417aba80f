"""Documents that already state a domain fact, so that they can be counted and left out of the training text.

A fact that the general text states by itself would be learnt at dose 0, and its exposures would not be what the ledger
says. A document states a fact when subject and object both occur in it as whole words: no claim that a sentence relates
them, so the rule leaves out too much rather than too little.
"""

from collections import defaultdict
from collections.abc import Iterable

from infusionlaw.corpus.words import holds, pieces, spelled


class FactFinder:
    """Finds documents that hold both subject and object of a fact.

    facts: (subject, object) pairs. Case counts; text and names are compared in one spelling, as `words` says.
    Cost: each document is taken apart once, and only facts whose pieces are all there are looked up in the text.
    """

    def __init__(self, facts: Iterable[tuple[str, str]]) -> None:
        self._facts: dict[str, list[tuple[frozenset[str], str, str]]] = defaultdict(list)
        for subject, object_ in {(spelled(subject), spelled(object_)): None for subject, object_ in facts}:
            own = pieces(subject)
            key = max(own, key=lambda piece: (len(piece), piece)) if own else ""
            self._facts[key].append((frozenset(own | pieces(object_)), subject, object_))

    def stated(self, document: str) -> str:
        """The subject of a fact that has both its subject and its object in the document as whole words, "" if none."""
        text = spelled(document)
        there = pieces(text) | {""}  # "" holds the facts whose subject has no word, such as "++"
        found = (
            subject
            for key in sorted(self._facts.keys() & there)
            for needed, subject, object_ in self._facts[key]
            if needed <= there and holds(text, subject) and holds(text, object_)
        )
        return next(found, "")
