"""Documents that already state a domain fact, so that they can be counted and left out of the training text.

A fact that the general text states by itself would be learnt at dose 0, and its exposures would not be what the ledger
says. A document states a fact when subject and object both occur in it as whole words: no claim that a sentence relates
them, so the rule leaves out too much rather than too little.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache

_WORD = re.compile(r"\w+")


class FactFinder:
    """Finds documents that hold both subject and object of a fact.

    facts: (subject, object) pairs. Case counts; a space in a name matches any white space, since text is wrapped; text
    and names are compared in Unicode form NFC. Scripts written without spaces have no whole words, so a name inside
    such a run of text is not found.
    Cost: each document's words are split once, and only facts whose words are all there are looked up in the text.
    """

    def __init__(self, facts: Iterable[tuple[str, str]]) -> None:
        self._facts: dict[str, list[tuple[frozenset[str], str, str]]] = defaultdict(list)
        for subject, object_ in {(_normal(subject), _normal(object_)): None for subject, object_ in facts}:
            words = _WORD.findall(subject)
            needed = frozenset(words + _WORD.findall(object_))
            self._facts[words[0] if words else ""].append((needed, subject, object_))

    def states_a_fact(self, document: str) -> bool:
        """Whether subject and object of at least one fact are both in the document as whole words."""
        text = _normal(document)
        words = set(_WORD.findall(text)) | {""}  # "" holds the facts whose subject has no word, such as "++"
        return any(
            needed <= words and _holds(text, subject) and _holds(text, object_)
            for first in self._facts.keys() & words
            for needed, subject, object_ in self._facts[first]
        )


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _holds(text: str, name: str) -> bool:
    return _pattern(name).search(text) is not None


@lru_cache(maxsize=100_000)
def _pattern(name: str) -> re.Pattern[str]:
    spaced = r"\s+".join(re.escape(part) for part in name.split())
    return re.compile(rf"(?<!\w){spaced}(?!\w)")
