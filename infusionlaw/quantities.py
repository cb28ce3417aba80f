"""Numbers as people write them in tables, in study files and on the command line: 1.3B, 160M, 25k, 1,300,000, 30%."""

import re

_POWERS = {"%": -2, "k": 3, "m": 6, "b": 9, "t": 12}
_NUMBER = re.compile(r"([+-]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?)\s*([kmbt%]?)", re.IGNORECASE)
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(,\d{3})+(\.\d*)?")


def written_number(text: str, *, count: bool = False, part: bool = False) -> float | None:
    """Return the number that a person wrote, None where it is none.

    count: it may be written as "1.3B", "160M", "25k" or "1,300,000"; part: as "30%".
    """
    text = text.strip()
    if count and _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    match = _NUMBER.fullmatch(text)
    if not match:
        return None
    digits, unit = match.group(1), match.group(2).casefold()
    if unit and not (part if unit == "%" else count):
        return None
    try:
        return float(f"{digits}e{_POWERS[unit]}") if unit else float(digits)
    except ValueError:  # an exponent and a unit, or two underscores
        return None


def in_bytes(value: float) -> str:
    """Bytes for people: 5.6 GB, 120 MB, 0.4 MB."""
    if value >= 1e9:
        return f"{value / 1e9:,.1f} GB"
    return f"{value / 1e6:,.0f} MB" if value >= 1e7 else f"{value / 1e6:.1f} MB"
