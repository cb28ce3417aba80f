"""From a study and a dose to the stream that is written: `infusionlaw infuse`."""

from pathlib import Path
from typing import TYPE_CHECKING

from infusionlaw.errors import InputError
from infusionlaw.law.planning.plan import read_plan
from infusionlaw.settings import StudyFile, read_study_file, with_hashes
from infusionlaw.study.folder import check_folder, claim
from infusionlaw.study.study import folder_of, locked, open_folder

if TYPE_CHECKING:
    from infusionlaw.corpus.export.insert import Plan
    from infusionlaw.corpus.export.source import Stream


def stream_of(
    study: Path,
    *,
    plan: Path | None = None,
    share: float | None = None,
    exposures: float | None = None,
    tokens: float | None = None,
    prior: bool = False,
    shard: float | None = None,
) -> "Stream":
    """Return the stream of a study's material at a dose: that of a plan, or a share or exposures of a token count.

    study: its folder, or a study file, whose text is then prepared. prior: state its prior facts too.
    """
    from infusionlaw.corpus.corpus import open_corpus
    from infusionlaw.corpus.export.source import SHARD, Stream
    from infusionlaw.corpus.infusion.pacing import TILTS

    if plan is not None:
        if share is not None or exposures is not None or tokens is not None:
            raise InputError("--plan has its own dose and token count; leave out --share, --exposures and --tokens")
        share, exposures = _planned(plan)
        tokens = read_plan(plan).target.tokens
    if tokens is None or (share is None) == (exposures is None):
        raise InputError("the dose is not known; give --plan, or --tokens with one of --share and --exposures")
    file, corpus = _prepared(study)
    if exposures is not None:
        once = open_corpus(corpus).tokens_per_exposure()
        if not once:
            raise InputError(f"{study}: has neither domain facts nor documents, so there is nothing to infuse")
        share = exposures * once / tokens
    assert share is not None
    if not 0 <= share < 1:
        raise InputError(
            f"a share of {share:.3g} is no part of {tokens:,.0f} tokens that leaves general text; take a lower dose or "
            "more tokens"
        )
    own = file.infusion
    return Stream(
        corpus,
        share,
        int(tokens),
        prior_share=own.prior_share if prior else 0.0,
        questions=own.prior_questions,
        tilt=TILTS[own.schedule],
        block=file.training.block,
        shard=int(shard or SHARD),
    )


def insertion_of(
    study: Path,
    into: str,
    *,
    plan: Path | None = None,
    share: float | None = None,
    exposures: float | None = None,
    sequence: float | None = None,
    inside: bool = False,
) -> "Plan":
    """Return what is inserted of a study's material into a corpus that exists: at the dose of a plan, or at this."""
    from infusionlaw.corpus.corpus import open_corpus
    from infusionlaw.corpus.export.insert import plan_into
    from infusionlaw.corpus.export.placing import Dose

    if plan is not None:
        if share is not None or exposures is not None:
            raise InputError("--plan has its own dose; leave out --share and --exposures")
        share, exposures = _planned(plan)
    corpus = open_corpus(_prepared(study)[1])
    return plan_into(corpus, into, Dose(share, exposures), sequence=int(sequence or 0), inside=inside)


def _planned(plan: Path) -> tuple[float | None, float | None]:
    """The dose of a plan: its share, or its exposures where it has none."""
    advised = read_plan(plan).dose
    share, exposures = advised.share.value, advised.exposures.value
    if share is None and exposures is None:
        raise InputError(f"{plan}: has no dose ({advised.reason or 'none in share or exposures'}); give --share")
    return share, exposures if share is None else None


def _prepared(study: Path) -> tuple[StudyFile, Path]:
    """The settings of a study and its prepared corpus."""
    if study.is_dir():
        if (study / "corpus" / "corpus.json").exists() and not (study / "study.json").exists():
            raise InputError(f"{study}: holds a corpus that `infuse` prepared; give the study file again")
        file, folder = open_folder(study).file, study
        if not (folder / "corpus" / "corpus.json").exists():
            raise InputError(f"{folder}: has no corpus; give the study file instead, which prepares it again")
        return file, folder / "corpus"
    from infusionlaw.corpus.prepare import prepare

    file = with_hashes(read_study_file(study))
    folder = folder_of(file, None)
    check_folder(folder, study)
    with locked(folder):
        claim(folder)
        prepare(file, folder / "corpus")
    return file, folder / "corpus"
