"""Whole words in any script: whether a name stands in a text, asked in one way wherever it is asked.

A word is a run of letters, digits, marks and underscores of one class:

    unspaced    Han, kana, Thai, Lao, Khmer, Burmese, Tibetan: a name stands anywhere in a run
    Hangul      a name stands at the beginning of a run, since particles follow it
    all other   a name is a whole run; a + or # behind it belongs to it, so that C is none of C++ and C#

Texts are compared as they are given: fold or normalise them first.
"""

import re
from functools import lru_cache

import regex

_SCRIPTS = ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan")
_UNSPACED = "".join(rf"\p{{scx={script}}}" for script in _SCRIPTS)
_LETTER = r"[\w\p{M}]"
_CLASSES = {
    "unspaced": rf"[{_LETTER}&&[{_UNSPACED}]]",
    "hangul": rf"[{_LETTER}&&\p{{scx=Hangul}}]",
    "other": rf"[{_LETTER}--[{_UNSPACED}]--\p{{scx=Hangul}}]",
}
_RUN = regex.compile("(?V1)" + "|".join(f"(?P<{name}>{letter}+)" for name, letter in _CLASSES.items()))
_ASCII_WORD = re.compile(r"\w+")
_NO_WORD = regex.compile(r"(?V1)[^\w\p{M}+#]+")
_SIGNS = "+#"  # what may belong to a name behind its letters


def pieces(text: str) -> set[str]:
    """Parts of a text, of which it has all that a name has wherever it holds the name.

    They are whole words, and of runs in which a name is no whole run, letters and pairs of them.
    """
    if text.isascii():
        return set(_ASCII_WORD.findall(text))
    found: set[str] = set()
    for run in _RUN.finditer(text):
        word = run.group()
        if run.lastgroup == "other":
            found.add(word)
        else:
            found |= set(word) | {word[i : i + 2] for i in range(len(word) - 1)}
    return found


def words_only(text: str) -> str:
    """The text with a space for all signs between words; a text of signs alone as it is."""
    return " ".join(_NO_WORD.sub(" ", text).split()) or text


def holds(text: str, name: str) -> bool:
    """Whether a name stands in a text as whole words; a space in it matches any white space.

    A name of signs alone stands between spaces only.
    """
    return _pattern(name).search(text) is not None


@lru_cache(maxsize=100_000)
def _pattern(name: str) -> regex.Pattern[str]:
    spaced = r"\s+".join(regex.escape(part) for part in name.split())
    runs = list(_RUN.finditer(name))
    if not runs:
        return regex.compile(rf"(?<!\S){spaced}(?!\S)")
    before, after = "", ""
    if runs[0].start() == 0 and runs[0].lastgroup != "unspaced":
        before = f"(?<!{_CLASSES[str(runs[0].lastgroup)]})"
    if runs[-1].end() == len(name) and runs[-1].lastgroup == "other":
        after = f"(?![{_CLASSES['other']}{_SIGNS}])"
    elif name[-1] in _SIGNS:
        after = f"(?![{_LETTER}{_SIGNS}])"
    return regex.compile(f"(?V1){before}{spaced}{after}")
