"""What a corpus holds that is written, or would be, in words."""

from typing import TYPE_CHECKING

from infusionlaw.corpus.export.ledger import Kind, KindCount, Ledger
from infusionlaw.law.numbers import count, listed, number
from infusionlaw.quantities import in_bytes

if TYPE_CHECKING:
    from infusionlaw.corpus.export.source import Stream

ITEMS: dict[Kind, str] = {"fact": "facts", "document": "documents", "prior": "prior facts"}


def ledger_text(ledger: Ledger) -> str:
    """Say what a corpus holds, by its ledger."""
    about = "about " if ledger.tokens_error else ""
    head = (
        f"{about}{ledger.tokens:,} tokens in {ledger.documents:,} documents and {len(ledger.shards):,} "
        f"shard{'s' if len(ledger.shards) > 1 else ''}, a share of {about}{ledger.share:.4g} infused"
    )
    if ledger.tokens_error:
        head += (
            f"\nthe share is exactly {ledger.share_of_bytes:.6g} by bytes; all tokens, and so the share by tokens, are "
            f"estimated from a sample of your rows, with a standard error of {ledger.tokens_error:.1%}"
        )
    return "\n".join([head, *(_kind_text(kind, own) for kind, own in ledger.kinds.items())])


def _kind_text(kind: Kind, own: KindCount) -> str:
    least, most = own.least_exposures, own.most_exposures
    times = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    return (
        f"{own.items:,} {ITEMS[kind]}, {times} times each ({own.mean_exposures:,.4g} on average): "
        f"{own.tokens:,} tokens in {own.insertions:,} insertions"
    )


def planned_text(stream: "Stream", need: int) -> str:
    """Say what a stream would hold and how many bytes it would take."""
    from infusionlaw.corpus.corpus import open_corpus

    corpus = open_corpus(stream.corpus)
    found = stream.mixture(corpus).ledger(stream.tokens)
    parts = [f"a share of {found.share:.4g} infused ({number(found.domain_tokens)} tokens)"]
    if found.prior_tokens:
        parts.append(f"{number(found.prior_tokens)} tokens of prior facts")
    passes = dict(zip(corpus.text, found.by_source, strict=True))
    read = [f"{name or 'it'} is read {count(times)} times" for name, times in passes.items()]
    parts.append(f"{number(found.general_tokens)} tokens of general text ({listed(read)})")
    given = ((found.domain_exposures, "domain facts"), (found.document_exposures, "documents"))
    exposures = [
        f"Each of {len(times):,} {what} is given {min(times):,} to {max(times):,} times."
        for times, what in given
        if times
    ]
    shards = f"{len(stream.shards):,} shard{'s' if len(stream.shards) > 1 else ''}"
    return "\n".join(
        [
            f"{number(stream.tokens)} tokens in {shards}: {listed(parts)}.",
            *exposures,
            f"It takes about {in_bytes(need)}, ledger included.",
        ]
    )
