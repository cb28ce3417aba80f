"""The one error a user is meant to read: a sentence that names the place and the fix."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

# What moves a terminal's cursor, colours it or turns text around, and line ends: an error is one line.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class InputError(ValueError):
    """Something the user gave cannot be used; the message is one sentence with file, row and fix."""


def visible(text: str) -> str:
    """Return a text with its control characters written out, such as "\\x1b": a terminal would obey them."""
    return _UNSEEN.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean "x"?` for a misspelt name, or the whole list when nothing is near."""
    names = sorted(known)
    if not names:
        return "there are none"
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    return f'did you mean "{close[0]}"?' if close else f"known: {', '.join(names)}"
