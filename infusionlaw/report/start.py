"""What is said of the checkpoints that a study's runs begin from: which law follows, and what was measured of them."""

from infusionlaw.law.numbers import listed, number
from infusionlaw.settings import StudyFile


def start_text(file: StudyFile) -> str:
    """Which law the runs of a study from checkpoints lead to; "" where they begin from scratch."""
    if file.start is None:
        return ""
    sizes = [number(size) for size in sorted(file.design.sizes)]
    counts = [number(tokens) for tokens in sorted(set(file.design.tokens))]
    held = file.held_out.checkpoint if file.held_out else None
    beyond = f"; the runs from {held} are predicted first" if held else ""
    if len(sizes) > 1:
        return f"The law is over sizes: a family of {len(sizes)} starts ({listed(sizes)} parameters){beyond}."
    if len(counts) > 1:
        return (
            f"The law is over tokens: one start ({sizes[0]} parameters) and {len(counts)} token counts "
            f"({listed(counts)}){beyond}. It says nothing of other sizes; for that, give [[start.family]]."
        )
    return (
        f"One start ({sizes[0]} parameters) and one token count{beyond}: the points are of this place alone. Add token "
        "counts in [design], or starts in [[start.family]], for a law."
    )
