"""Whether two versions of a page say the same.

Words must be equal. A number may differ by two units of its last printed digit, or by 2 %, whichever is more: another
processor adds in another order, which changes a fit in its fourth digit at most and turns the last printed one. A whole
number below 50 is a count, and so must be equal.
"""

import re
from difflib import SequenceMatcher

DIGITS, PART = 2.0, 0.02
NUMBER = re.compile(r"(?<![\w.])[+-]?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?:e[+-]?\d{1,2})?(?=[kMBT]?(?!\w))")


def differences(before: str, after: str) -> list[str]:
    """Where two pages say something else: for each place what the first says and what the second does, if anything."""
    old, new = _pieces(before), _pieces(after)
    matcher = SequenceMatcher(a=list(map(_shape, old)), b=list(map(_shape, new)), autojunk=False)
    out = []
    for same, i, j, k, n in matcher.get_opcodes():
        if same != "equal":
            out.append(f"{' '.join(old[i:j]) or 'nothing'} → {' '.join(new[k:n]) or 'nothing'}")
        else:
            out += [f"{a} → {b}" for a, b in zip(old[i:j], new[k:n], strict=True) if not _near(a, b)]
    return out


def _pieces(page: str) -> list[str]:
    """Words and the numbers in them, one after the other."""
    out: list[str] = []
    for word in page.split():
        end = 0
        for found in NUMBER.finditer(word):
            out += [word[end : found.start()], found.group()]
            end = found.end()
        out.append(word[end:])
    return [piece for piece in out if piece]


def _shape(piece: str) -> str:
    return "#" if NUMBER.fullmatch(piece) else piece


def _near(a: str, b: str) -> bool:
    if not NUMBER.fullmatch(a):
        return a == b
    first, second = (float(text.replace(",", "")) for text in (a, b))
    digits = [DIGITS * unit for text in (a, b) if (unit := _last_digit(text)) < 1]
    return abs(first - second) <= 1.0001 * max([PART * abs(first), *digits])


def _last_digit(number: str) -> float:
    """What a unit of the last printed digit is worth: 0.01 of 0.31, 1 of 26."""
    digits, _, power = number.partition("e")
    return float(10.0 ** (int(power or 0) - len(digits.partition(".")[2])))
