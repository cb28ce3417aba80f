"""What is to be known of files of questions: how they were read, and whether models leave guessing on them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from infusionlaw.corpus.questions import QuestionSet, open_questions
from infusionlaw.law.numbers import number
from infusionlaw.runs.outcomes import ACCURACY_OF
from infusionlaw.runs.record import RunRecord

ERRORS = 2.0  # standard errors above guessing, from which on a model has left it
TRIED = 12_000, 64_000_000  # sizes of our own models, which were asked for facts that training states


def questions_texts(folder: Path) -> list[str]:
    """How each file was read and is asked, a sentence each; `folder` is the study's."""
    said = []
    for name, own in open_questions(folder / "corpus").items():
        few, most = own.options
        options = f"{few}" if few == most else f"{few} to {most}"
        shots = f"with {len(own.examples) or 'no'} solved questions before each"
        said.append(
            f"Questions of {name} ({own.role}): {len(own.questions):,} with {options} options each, so guessing gives "
            f"{own.guessing:.3g}; read from {own.shape}; asked as {own.prompt}, {shots}."
        )
    return said


def question_remarks(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """What is to be known of the questions before training, a sentence each. counts: of a corpus, by file."""
    said = []
    for name, own in counts.items():
        asked = own["questions"]
        if repeated := own["with_repeated_options"]:
            said.append(
                f"{repeated:,} of {asked:,} questions of {name} have an option twice, which is counted as one option"
            )
        if long := own["longer_than_a_block"]:
            said.append(
                f"{long:,} of {asked:,} questions of {name} are longer than a block, and their beginnings are not "
                "read; raise block in [training], or lower shots"
            )
        for where, text in (("in_general_text", "general text"), ("in_domain_documents", "domain documents")):
            if found := own.get(where, 0):
                said.append(
                    f"{found:,} of {asked:,} questions of {name} ({found / asked:.0%}) stand nearly word for word in "
                    f"the {text}, with their answers, so these measure memory of that text; nothing was left out"
                )
    return said


def expected_text(folder: Path, sizes: Sequence[float]) -> str:
    """Whether models of these sizes can be expected to leave guessing, by our own evidence; "" without questions."""
    names = list(open_questions(folder / "corpus"))
    if not names:
        return ""
    if max(sizes) > TRIED[1]:
        return (
            "Whether models of these sizes leave guessing is not known from our own runs, whose largest has "
            f"{number(TRIED[1])} parameters; the first finished run tells (`infusionlaw status`)."
        )
    losses = " and ".join(f"answer_loss:{name}" for name in names)
    return (
        f"Our own models of {number(TRIED[0])} to {number(TRIED[1])} parameters answered what training states some "
        "hundred times, and were asked nothing else. On other questions expect accuracy to stay at guessing, and read "
        f"{losses}: this also shows changes too small to change an answer."
    )


def guessing_texts(folder: Path, rows: Sequence[RunRecord]) -> list[str]:
    """Whether the smallest model has left guessing on each file, a sentence each; none before it has a run.

    Files of the domain are judged by its runs with a dose, general ones by those without.
    """
    return [text for name, own in open_questions(folder / "corpus").items() if (text := _guessing(name, own, rows))]


def _guessing(name: str, own: QuestionSet, rows: Sequence[RunRecord]) -> str:
    column, dosed = f"{ACCURACY_OF[own.role]}:{name}", own.role == "domain"
    asked = [row for row in rows if row.score(column) is not None and bool(row.share or row.exposures) == dosed]
    smallest = [row for row in asked if row.size == min(row.size for row in asked)]
    if not smallest:
        return ""
    # All runs are asked the same questions, so that the error of their mean is no smaller than that of one.
    accuracy, error = (fmean(row.score(part) or 0.0 for row in smallest) for part in (column, f"{column}_se"))
    runs = f"{len(smallest)} runs" if len(smallest) > 1 else "one run"
    more = accuracy > own.guessing + ERRORS * error
    return (
        f"The smallest model ({number(smallest[0].size)} parameters, {runs} {'with' if dosed else 'without'} a dose) "
        f"answers {accuracy:.3f} ± {error:.3f} of {name} right, and guessing {own.guessing:.3f}: "
        + ("it has left guessing." if more else f"it has not left guessing, so read answer_loss:{name}.")
    )
