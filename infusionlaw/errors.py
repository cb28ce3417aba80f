"""The one error a user is meant to read: a sentence that names the place and the fix."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Something the user gave cannot be used; the message is one sentence with file, row and fix."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean "x"?` for a misspelt name, or the whole list when nothing is near."""
    names = sorted(known)
    if not names:
        return "there are none"
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    return f'did you mean "{close[0]}"?' if close else f"known: {', '.join(names)}"
