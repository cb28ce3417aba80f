"""Whole words in any script: whether a name stands in a text, asked in one way wherever it is asked.

A word is a run of letters, digits, marks and underscores of one class:

    unspaced    Han, kana, Thai, Lao, Khmer, Burmese, Tibetan and the like: a name stands anywhere in a run
    Hangul      a name stands at the beginning of a run, since particles follow it
    all other   a name is a whole run; a + or # behind it belongs to it, so that C is none of C++ and C#

Texts are compared as they are given: `spelled` gives them one spelling, `facts.folded` leaves case and accents out too.
"""

import re
import unicodedata
from functools import lru_cache

import regex

_SCRIPTS = (
    *("Han", "Hiragana", "Katakana", "Bopomofo", "Yi", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan", "Javanese"),
    *("Balinese", "Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet"),
)
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
_ALIKE = {
    **dict.fromkeys("\u2018\u2019\u201b\u02bb\u02bc\u02b9\u2032\u00b4`", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
}
_FORMS = "\u3000\uff01-\uff9f\uffe0-\uffee\ufb00-\ufb06\ufb50-\ufdff\ufe70-\ufefc"  # full and half width, ligatures
_ODD = regex.compile(rf"[\p{{DI}}{re.escape(''.join(_ALIKE))}{_FORMS}]")


def spelled(text: str) -> str:
    """The text in one spelling: composed letters, straight quotes, plain hyphens, no wide forms and no invisible signs.

    Invisible are soft hyphens, joiners, marks of direction and the like, which come along when a text is copied.
    """
    return text if text.isascii() and "`" not in text else unicodedata.normalize("NFC", _ODD.sub(_plain, text))


def _plain(sign: regex.Match[str]) -> str:
    found: str = sign.group()
    if regex.fullmatch(r"\p{DI}", found):
        return ""
    return _ALIKE.get(found) or unicodedata.normalize("NFKC", found)


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
