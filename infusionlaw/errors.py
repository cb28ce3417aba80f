"""The one error a user is meant to read: a sentence that names the place and the fix."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

LONGEST = 1000  # characters of a message; of a longer one the middle is left out, for it quotes a file
SHOWN = 40  # names of a list that are shown, and COMPARED those that a misspelt name is compared with
COMPARED = 1000
# What moves a terminal's cursor, colours it or turns text around, and line ends: an error is one line.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class InputError(ValueError):
    """Something the user gave cannot be used; the message is one sentence with file, row and fix.

    It stays one line that can be printed, whatever it quotes: line ends and control characters become their escapes.
    """

    def __init__(self, message: object = "") -> None:
        text = str(message)
        if len(text) > LONGEST:
            text = f"{text[: LONGEST * 2 // 3]} ... {text[-LONGEST // 3 :]}"
        super().__init__(visible(text))


class Question(InputError):
    """What a person has yet to say, where all that they said so far can be used."""


class Waiting(InputError):
    """What a study waits for: nothing is wrong, and somebody else has to do something."""


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Say what to install where a package of an extra is imported and not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        fix = f'install it with pip install ".[{extra}]" in the folder of infusionlaw'
        raise InputError(f"{what} needs {error.name}; {fix}") from error


@contextmanager
def naming(place: object) -> Iterator[None]:
    """Put a file, or another place, before what is wrong with what it holds."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{place}: {error}") from error


def visible(text: str) -> str:
    """Return a text with its control characters written out, such as "\\x1b": a terminal would obey them."""
    return _UNSEEN.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean "x"?` for a misspelt name, or the whole list when nothing is near."""
    names = sorted(known)
    if not names:
        return "there are none"
    close = get_close_matches(name, names[:COMPARED], n=1, cutoff=0.5)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f'did you mean "{close[0]}"?' if close else f"known: {', '.join(names[:SHOWN])}{more}"
