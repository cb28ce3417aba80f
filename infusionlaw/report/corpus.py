"""What a study's prepared corpus is: what is to be known of it before training, its counts, and an example."""

from pathlib import Path
from typing import Any

from infusionlaw.corpus.digests import prepare_again
from infusionlaw.corpus.documents import SHORT
from infusionlaw.corpus.head import read_head
from infusionlaw.errors import InputError
from infusionlaw.files import read_json
from infusionlaw.law.numbers import listed
from infusionlaw.report.blocks import Block, Text, table, texts
from infusionlaw.report.questions import question_remarks, questions_texts

PARTS = ("domain", "prior", "unseen")
MANY = 0.2  # of the documents left out, from which on that is remarked
FEW = 50  # validation documents, below which that is remarked
MUCH = 0.05  # of the validation text repeated in the training text, from which on that is remarked


def remarks(folder: Path) -> list[str]:
    """What somebody should know of the corpus of a study's folder before training on it, a sentence each."""
    counts = counts_of(folder)
    said = _not_probed(counts)
    stating = counts.get("documents_that_state_a_domain_fact", 0)
    documents = counts.get("training_documents", 0) + stating
    if stating >= MANY * documents > 0:
        most = ", ".join(f"{name} {number:,}" for name, number in counts.get("subjects_they_name_most", {}).items())
        said.append(
            f"{stating:,} of {documents:,} documents name subject and answer of a domain fact and were left out of the "
            f"training text (by subject: {most}); take out subjects that are common words, or set keep_stating = true "
            "in [text]"
        )
    for kind in ("statements", "questions"):
        if too_long := counts.get(f"{kind}_longer_than_a_block", 0):
            said.append(
                f"{too_long:,} of {counts.get(kind, 0):,} {kind} are longer than a block, so no model sees "
                "them whole; raise block in [training], or shorten them"
            )
    if unread := counts.get("files_unread"):
        kinds = ", ".join(f"{number:,} of {kind or 'no ending'}" for kind, number in unread.items())
        said.append(
            f"{sum(unread.values()):,} files in the folders of text were not read, for their endings ({kinds}); rename "
            "or convert those that are text"
        )
    if (held := counts.get("validation_documents", FEW)) < FEW:
        said.append(
            f"Validation loss is measured on {held:,} document{'' if held == 1 else 's'}, which say little about "
            "other text, and its standard error is too small; raise validation in [text], or give more and shorter "
            "documents"
        )
    tokens, repeated = counts.get("validation_tokens"), counts.get("validation_tokens_in_training_text")
    if tokens and repeated and repeated >= MUCH * tokens:
        said.append(
            f"{100 * repeated / tokens:.0f} % of the validation text stands word for word in the training text (in "
            "runs of 32 tokens or more), so validation loss partly measures text that was trained on; remove near "
            "duplicates from the text if it should measure new text only"
        )
    return [*said, *_of_documents(counts), *question_remarks(counts.get("question_files", {}))]


def _of_documents(counts: dict[str, Any]) -> list[str]:
    """What should be known of domain documents, a sentence each."""
    said = []
    if empty := counts.get("domain_documents_nearly_empty", 0):
        said.append(
            f"{empty:,} of {counts['domain_documents']:,} domain documents have fewer than {SHORT} tokens; check "
            "that this is the text you mean"
        )
    if (held := counts.get("held_out_domain_documents", FEW)) < FEW:
        said.append(
            f"Domain loss is measured on only {held:,} held-out document{'' if held == 1 else 's'}, so its standard "
            "error is too small; raise validation in [domain], or give more documents"
        )
    for repeated, of, what, where in (
        ("held_out_domain_tokens_in_domain_documents", "held_out_domain_tokens", "held-out domain text", "infused"),
        ("held_out_domain_tokens_in_training_text", "held_out_domain_tokens", "held-out domain text", "general"),
        ("validation_tokens_in_domain_documents", "validation_tokens", "validation text", "infused"),
    ):
        tokens, found = counts.get(of), counts.get(repeated)
        if tokens and found and found >= MUCH * tokens:
            text = "the documents that are infused" if where == "infused" else "the general training text"
            said.append(
                f"{100 * found / tokens:.0f} % of the {what} stands word for word in {text} (in runs of 32 tokens or "
                "more), so its loss partly measures text that was trained on; nothing was left out, so remove near "
                "duplicates if it should measure new text only"
            )
    return said


def documents_text(folder: Path) -> str:
    """How many domain documents there are; "" where there are none."""
    counts = counts_of(folder)
    if "domain_documents" not in counts:
        return ""
    files = counts["domain_files"]
    return (
        f"Domain documents: {counts['domain_documents']:,} with {counts['domain_tokens']:,} tokens, from {files:,} "
        f"file{'' if files == 1 else 's'}; {counts['held_out_domain_documents']:,} more are held out for domain loss."
    )


def probed_text(folder: Path) -> str:
    """How many facts of each part are asked about; "" where that was not counted or there are none."""
    counts = counts_of(folder)
    parts = [
        f"{counts[probed]:,} of {of:,} {name}"
        for name in PARTS
        if (probed := f"{name}_facts_probed") in counts and (of := counts[probed.removesuffix("_probed")])
    ]
    return f"Facts that are asked about: {listed(parts)}." if parts else ""


def _not_probed(counts: dict[str, Any]) -> list[str]:
    """A sentence for each part whose facts are not all asked about, by relation."""
    said = []
    for name, left in counts.get("facts_not_probed", {}).items():
        relations = ", ".join(f"{relation} {number:,}" for relation, number in left.items())
        score = {"domain": "recall", "prior": "retention", "unseen": "unseen recall"}[name]
        which = f"{score} is that of the others" if counts[f"{name}_facts_probed"] else f"there is no {score}"
        said.append(
            f"{sum(left.values()):,} of {counts[f'{name}_facts']:,} {name} facts are not asked about (by relation: "
            f"{relations}), so {which}; a question offers different answers of a relation, of which too few are left: "
            "take more subjects, or facts with other answers"
        )
    return said


def corpus_part(folder: Path) -> list[Block]:
    """The corpus's counts, and one fact as an example of how facts are stated and asked for."""
    counts = counts_of(folder)
    if not counts:
        return [Text("The prepared corpus is not in this folder.")]
    stating = counts.get("documents_that_state_a_domain_fact")
    left_out = (
        f"{stating:,} documents state a domain fact and were left out of the training text."
        if stating is not None and counts.get("domain_facts", 1)
        else ""
    )
    told = [
        documents_text(folder),
        probed_text(folder),
        *questions_texts(folder),
        left_out,
        *(f"{text}." for text in remarks(folder)),
        _example(folder),
    ]
    if not any(counts.get(f"{part}_facts") for part in PARTS):
        counts = {name: value for name, value in counts.items() if value}  # what only facts have is none
    return [*texts(told), *table(("count", ""), _flat(counts), wrap=("count",))]


def counts_of(folder: Path) -> dict[str, Any]:
    path = folder / "corpus" / "corpus.json"
    return dict(read_head(path.parent).counts) if path.exists() else {}


def _flat(counts: dict[str, Any], lead: str = "") -> list[tuple[str, str]]:
    """Counts, possibly nested, as rows of a table."""
    rows: list[tuple[str, str]] = []
    for name, value in counts.items():
        words = f"{lead}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            rows += _flat(value, f"{words}: ")
        else:
            rows.append((words, f"{value:,}" if isinstance(value, int | float) else str(value)))
    return rows


def _example(folder: Path) -> str:
    path = folder / "corpus" / "knowledge.json"
    knowledge = read_json(path) if path.exists() else {"facts": {"domain": []}}
    try:
        if not (facts := knowledge["facts"]["domain"]):
            return ""
        forms = knowledge["templates"][facts[0]["relation"]]
        stated, asked = (
            text.replace("{subject}", facts[0]["subject"]).replace("{object}", facts[0]["object"])
            for text in (forms["statements"][0], forms["questions"][0])
        )
    except (AttributeError, LookupError, TypeError) as error:
        again = prepare_again(path.parent)
        raise InputError(f"{path}: not the facts and templates of a corpus; {again}") from error
    return f"A domain fact is stated, for instance, as “{stated}” and asked for as “{asked}”"
