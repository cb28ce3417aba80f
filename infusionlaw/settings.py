"""The study file: a TOML file read into frozen settings; a misspelt key is refused with the nearest known one.

Counts may be written as 1_500_000, 1.5e6 or "1.5M", shares as 0.2 or "20%".

A file may begin with `extends = "base.toml"`, a path from its own folder: it then has all settings of that file, and
its own values where it gives any. Tables are merged key by key. All other paths start from the folder of the file that
is read, not from that of the base.
"""

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from reprlib import repr
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from infusionlaw.errors import InputError, naming, nearest
from infusionlaw.quantities import written_number
from infusionlaw.recognise import refuse_others
from infusionlaw.starts import StartFolder, read_start

LEAST = 1000  # fewer parameters or tokens than this are thousands or millions without their sign
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_DOTTED = re.compile(r"[1-9]\d{0,2}(\.\d{3})+")


def _count(value: Any) -> Any:
    """A count that is written as "1.5M" as its number; anything else as it is, to be judged by its field."""
    if not isinstance(value, str):
        return value
    if _DOTTED.fullmatch(value.strip()):
        whole = value.strip().replace(".", "_")
        raise ValueError(f"{value!r} may have decimals or thousands; write {whole} in full, or a unit, as in 1.5M")
    number = written_number(value, count=True)
    return value if number is None else int(number) if number.is_integer() else number


def _scale(value: Any) -> Any:
    """A number of parameters or tokens; one that is too small is one without its unit."""
    number = _count(value)
    if isinstance(number, int | float) and 0 < number < LEAST:
        shown = f"{number:g}"
        raise ValueError(
            f'{value!r} is below {LEAST:,}; write "{shown}k" or "{shown}M" if that is meant, and thousands as in '
            "1_500_000"
        )
    return number


def _part(value: Any) -> Any:
    """A part of one that is written as "20%" as its number; anything else as it is."""
    number = written_number(value, part=True) if isinstance(value, str) else None
    return value if number is None else number


def _dose(value: Any) -> Any:
    """A dose, which may be a share or a count of exposures."""
    return _part(_count(value))


Part = Annotated[float, BeforeValidator(_part)]
Share = Annotated[Part, Field(ge=0, lt=1)]  # at 1 no general text is left, and the odds are infinite
Dose = Annotated[float, BeforeValidator(_dose), Field(ge=0)]
PositiveInt = Annotated[int, BeforeValidator(_count), Field(gt=0, le=10**15)]
Scale = Annotated[int, BeforeValidator(_scale), Field(gt=0, le=10**15)]  # parameters or tokens
Seed = Annotated[int, Field(ge=0, le=2**62)]  # a search counts on from there, and 63 bits are what tables hold


EXTENDS = "extends"
LONGEST = 1_000_000  # characters of a study file


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __hash__(self) -> int:
        """Hash the content, whose tables of any name cannot be hashed themselves."""
        return hash(self.model_dump_json())


class Facts(_Section):
    """Where facts and templates come from; `domain`, `prior`, `unseen` count subjects. No source: no facts.

    renderings: domain facts are stated in the first so many statement templates of their relation; 0: in all of them.
    """

    source: str | tuple[str, ...] = "atlas"
    templates: tuple[str, ...] = ()
    relations: tuple[str, ...] = ()
    renderings: Annotated[int, Field(ge=0)] = 0
    domain: PositiveInt = 32
    prior: PositiveInt = 32
    unseen: PositiveInt = 32


class TextSource(_Section):
    """One of several sources of general text.

    weight: its part of general text beside the other weights; most_passes: how often a run may read it at most;
    validation: the part of its documents kept for validation loss, by default that of [text]; 0: it has none.
    """

    files: str | tuple[str, ...]
    weight: Annotated[float, Field(gt=0, le=1e9)] = 1.0
    field: str = "text"
    most_passes: Annotated[float, Field(gt=0)] | None = None
    validation: Annotated[Part, Field(ge=0, lt=0.5)] | None = None


class Text(_Section):
    """Where general text comes from, the part of its documents kept for validation, and whether those stay that state
    a domain fact.

    sources: named ones with weights, instead of `source`; the validation loss of each is measured too.
    """

    source: str | tuple[str, ...] = "python-docs"
    sources: dict[Annotated[str, Field(pattern=r"^[\w.-]+$")], TextSource] = Field(default_factory=dict)
    field: str = "text"
    validation: Annotated[Part, Field(gt=0, lt=0.5)] = 0.02
    keep_stating: bool = False

    @property
    def by_name(self) -> dict[str, TextSource]:
        """The sources by name; "": the only one, which has none."""
        found = dict(self.sources) or {"": TextSource(files=self.source, field=self.field)}
        return {
            name: one if one.validation is not None else one.model_copy(update={"validation": self.validation})
            for name, one in found.items()
        }

    @model_validator(mode="after")
    def _one_or_several(self) -> "Text":
        fields = type(self).model_fields
        if self.sources and (self.source, self.field) != (fields["source"].default, fields["field"].default):
            raise ValueError("give either source, or [text.sources.NAME] for each of several, which has its own field")
        if not any(own.validation for own in self.by_name.values()):
            raise ValueError("no source has a validation above 0, so there would be no validation loss; give one some")
        return self


class Domain(_Section):
    """Where domain documents come from, and the part of them kept for domain loss.

    target_tokens: training tokens of the run that is planned; corpus_tokens: tokens of the whole domain corpus, where
    `documents` are only a sample of it. matched: a run of D tokens reads only D / target_tokens of the domain, so that
    it repeats it as often as the planned run will.
    """

    documents: str | tuple[str, ...]
    field: str = "text"
    validation: Annotated[Part, Field(gt=0, lt=0.5)] = 0.02
    target_tokens: Scale | None = None
    corpus_tokens: Scale | None = None
    matched: bool = False

    @model_validator(mode="after")
    def _matched_to_something(self) -> "Domain":
        if self.matched and self.target_tokens is None:
            raise ValueError("matched = true needs target_tokens, the training tokens of the planned run; add it")
        return self


class QuestionFile(_Section):
    """A multiple-choice file: what it is asked for, and how.

    role: domain, what the documents or facts teach; general, what a model should not forget. prompt: cloze, the options
    are scored as continuations of the question; lettered, the options are listed and the letters scored. shots: solved
    questions of the file that are put before each; they are not asked. limit: at most so many questions, evenly spread
    over the file; 0: all.
    """

    file: str
    role: Literal["domain", "general"]
    prompt: Literal["cloze", "lettered"] = "cloze"
    shots: Annotated[int, Field(ge=0, le=64)] = 0
    limit: Annotated[int, BeforeValidator(_count), Field(ge=0)] = 0


class StartOf(_Section):
    """One checkpoint of a family. size, sha256: its parameters and the hash of its weights, as they were read."""

    checkpoint: str
    size: PositiveInt | None = None
    sha256: str | None = None


class Start(_Section):
    """The checkpoint that every run begins from, a Hugging Face folder, or several of other sizes (`family`).

    rate: the peak learning rate as a part of the one that the recipe has for a model of that size from scratch. tokens:
    what the checkpoint was trained on before, for the table.
    """

    checkpoint: str | None = None
    family: tuple[StartOf, ...] = ()
    rate: Annotated[float, Field(gt=0, le=10)] = 0.5
    tokens: Scale | None = None

    @model_validator(mode="after")
    def _one_or_several(self) -> "Start":
        if bool(self.checkpoint) == bool(self.family):
            raise ValueError("give either checkpoint, a folder, or one [[start.family]] with a checkpoint a size")
        return self

    @property
    def of_sizes(self) -> tuple[StartOf, ...]:
        """The checkpoints, one or more."""
        return self.family or (StartOf(checkpoint=self.checkpoint or ""),)


class TokenizerSettings(_Section):
    """A BPE tokenizer trained to `vocabulary` entries, or an existing tokenizer.json and its end-of-text token."""

    vocabulary: Annotated[int, BeforeValidator(_count), Field(ge=260, le=300_000)] = 1024
    file: str | None = None
    end_of_text: str = "<|endoftext|>"


class Infusion(_Section):
    """Prior facts' part of what is not infused, whether it asks questions too, and the most exposures of a domain fact.

    schedule: even, or early (late): the odds of infused tokens fall (rise) a hundredfold over a run.
    """

    prior_share: Annotated[Part, Field(gt=0, lt=1)] = 0.25
    prior_questions: bool = True
    schedule: Literal["even", "early", "late"] = "even"
    max_exposures: PositiveInt = 5000


TOKENS = AliasChoices("tokens", "budgets")  # token budgets is what others call them


class Design(_Section):
    """Sizes, token counts, doses and seeds; dose 0 is always run.

    tokens: every size is trained on each of them. tokens_per_parameter: instead, one token count a size.
    grid: every size × token count × dose × seed, and the doses of `once`, in the same unit, with the first seed only.
    search: the doses are those it starts from, and their ends its range.
    """

    design: Literal["grid", "search"] = "grid"
    sizes: Annotated[tuple[Scale, ...], Field(min_length=1)]
    tokens: Annotated[tuple[Scale, ...], Field(validation_alias=TOKENS)] = ()
    tokens_per_parameter: Annotated[float, Field(gt=0, le=1e6)] | None = None
    shares: tuple[Share, ...] = ()
    exposures: tuple[Dose, ...] = ()
    once: tuple[Dose, ...] = ()
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (1, 2)

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """Every size with each of its token counts, ascending."""
        return self.places_of(self.sizes)

    def places_of(self, sizes: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """These sizes with each of their token counts, ascending."""
        return tuple((n, d) for n in sorted(set(sizes)) for d in self._token_counts(n))

    def _token_counts(self, size: int) -> list[int]:
        if self.tokens_per_parameter is not None:
            return [round(self.tokens_per_parameter * size)]
        return sorted(set(self.tokens))

    @model_validator(mode="after")
    def _one_way_to_tokens(self) -> "Design":
        if bool(self.tokens) == bool(self.tokens_per_parameter):
            raise ValueError('give either tokens, such as ["1.5M"], or tokens_per_parameter, such as 20')
        return self

    @model_validator(mode="after")
    def _one_dose_unit(self) -> "Design":
        if bool(self.shares) == bool(self.exposures):
            raise ValueError("give the doses as shares or as exposures, one of the two")
        if not any((*self.shares, *self.exposures)):
            raise ValueError("no dose is above 0; add one, or there is nothing to measure")
        if self.shares and any(dose >= 1 for dose in self.once):
            raise ValueError("a dose of once is a share of 1 or more, which leaves no general text; lower it")
        if self.once and self.design == "search":
            raise ValueError("a search chooses its doses itself; take once out, or make it a grid")
        return self


class Search(_Section):
    """Of a search: the half width (dex) at which a collapse is located, the most runs of a curve, and those of a round.

    A curve is one size and token count.
    """

    width: Annotated[float, Field(gt=0)] = 0.1
    runs: Annotated[PositiveInt, Field(le=10_000)] = 64
    round: Annotated[PositiveInt, Field(le=10_000)] = 4


class HeldOut(_Section):
    """Sizes predicted before they are trained; what is left out is taken from [design].

    checkpoint: the start of the held-out runs, one of another size than those of [start]; sha256: the hash of its
    weights, as it was read. advised: also train them at the doses that the prediction looks at: the advised one, a
    quarter and four times it.
    """

    checkpoint: str | None = None
    sha256: str | None = None
    sizes: Annotated[tuple[Scale, ...], Field(min_length=1)]
    tokens: Annotated[tuple[Scale, ...], Field(validation_alias=TOKENS)] = ()
    doses: tuple[Dose, ...] = ()
    seeds: tuple[Seed, ...] = ()
    advised: bool = False


class Training(_Section):
    """The recipe by name, block length, factors on the recipe, and checkpoints.

    checkpoint_every: steps; a checkpoint that would take more than a fiftieth of the time is put off.
    """

    recipe: Literal["2026-11"] = "2026-11"
    block: Annotated[int, Field(ge=16, le=65_536)] = 128
    learning_rate_factor: Annotated[float, Field(gt=0, le=1000)] = 1.0
    batch_factor: Annotated[float, Field(gt=0, le=1000)] = 1.0
    weight_decay: Annotated[float, Field(ge=0, le=1000)] = 0.1
    checkpoint_every: PositiveInt = 500

    @field_validator("recipe", mode="before")
    @classmethod
    def _known_recipe(cls, name: object) -> object:
        if name not in get_args(cls.model_fields["recipe"].annotation):
            raise ValueError(
                f'recipe {repr(name)} cannot be trained; write recipe = "2026-11" (runs made with an older recipe '
                "live on as tables, which `infusionlaw fit` reads)"
            )
        return name


class Run(_Section):
    """Who trains the models, by the name of an entry point of the group `infusionlaw.runners`, where it is reached, and
    on how many devices: GPUs, or cores where there are none. None of it changes a result.

    devices: 0 for all that the runner finds.
    """

    on: str = "local"
    address: str = ""
    devices: Annotated[int, Field(ge=0, le=65_536)] = 0


class Track(_Section):
    """The trackers that show the runs' curves, by the names of entry points of the group `infusionlaw.trackers`, and
    the project that they show them in. Neither changes a result.
    """

    to: tuple[str, ...] = ()
    project: Annotated[str, Field(min_length=1)] = "infusionlaw"


class Law(_Section):
    """What counts as too much: a rise of validation loss (bits per byte), and a fall of retention below the start.

    draws: of the bootstrap.
    """

    tolerance: Annotated[float, Field(gt=0)] = 0.05
    forgetting: Annotated[Part, Field(gt=0, lt=1)] = 0.05
    draws: Annotated[int, Field(ge=50, le=100_000)] = 400


class StudyFile(_Section):
    """A whole study file. `seed` draws the splits; `base` is the folder that relative paths start from."""

    name: Annotated[str, Field(min_length=1)]
    seed: Seed = 0
    facts: Facts = Facts()
    domain: Domain | None = None
    questions: dict[str, QuestionFile] = Field(default_factory=dict)
    start: Start | None = None
    text: Text = Text()
    tokenizer: TokenizerSettings = TokenizerSettings()
    infusion: Infusion = Infusion()
    design: Design
    search: Search = Search()
    held_out: HeldOut | None = None
    training: Training = Training()
    law: Law = Law()
    run: Run = Run()
    track: Track = Track()
    base: Annotated[Path, Field(exclude=True)] = Path()

    @model_validator(mode="before")
    @classmethod
    def _facts_unless_documents(cls, content: Any) -> Any:
        """Without [facts] no facts are infused where documents are; else the built-in ones are."""
        if isinstance(content, dict) and "domain" in content and "facts" not in content:
            return {**content, "facts": {"source": ()}}
        return content

    @field_validator("questions")
    @classmethod
    def _named_as_columns(cls, questions: dict[str, QuestionFile]) -> dict[str, QuestionFile]:
        """Names of question files become names of columns, as in recall:medqa and recall:medqa_se."""
        for name in questions:
            if not _NAME.fullmatch(name) or name.endswith("_se"):
                raise ValueError(
                    f"{name!r} cannot name a column of the table; write letters, digits, - and _, and no _se at the end"
                )
        return questions

    @model_validator(mode="after")
    def _something_to_look_for(self) -> "StudyFile":
        asked = self.facts.source or any(file.role == "domain" for file in self.questions.values())
        if self.design.design == "search" and not asked:
            raise ValueError(
                "a search looks for the collapse of recall, and nothing here is asked; add [questions.NAME] with the "
                'role "domain", or make it a grid'
            )
        return self

    @property
    def unit(self) -> Literal["share", "exposures"]:
        """The unit of the dose that the study sweeps."""
        return "share" if self.design.shares else "exposures"

    @property
    def starts(self) -> tuple[StartOf, ...]:
        """The checkpoints that runs begin from, that of the held-out runs last; none where they begin from scratch."""
        held = self.held_out
        own = self.start.of_sizes if self.start else ()
        if held is None or held.checkpoint is None:
            return own
        return (*own, StartOf(checkpoint=held.checkpoint, size=held.sizes[0], sha256=held.sha256))

    def start_of(self, size: int) -> StartOf | None:
        """The checkpoint of a size; None where its runs begin from scratch."""
        return next((start for start in self.starts if start.size == size), None)


def read_study_file(path: str | Path) -> StudyFile:
    """Read and check a study file; InputError in one sentence when it cannot be used."""
    path = Path(path)
    try:
        content, base = study_content(path), path.parent.resolve()
        with naming(path):
            content = _filled(content, path.parent)
        study = StudyFile.model_validate({**content, "base": base})
        with naming(path):
            _check_block(study)
        return study
    except RecursionError as error:
        raise InputError(f"{path}: its tables are nested too deeply; a study file has tables of one level") from error
    except ValidationError as error:
        raise InputError(f"{path}: {_sentence(error)}") from error


def _filled(content: dict[str, Any], base: Path) -> dict[str, Any]:
    """The content of a study file with what the checkpoints of its [start] decide: sizes and the tokenizer.

    A section that is none is left as it is, to be judged with the others.
    """
    design, tokenizer, held = (content.get(name, {}) for name in ("design", "tokenizer", "held_out"))
    try:
        start = Start.model_validate(content["start"]) if "start" in content else None
    except ValidationError:
        return content
    if not all(map(_is_table, (design, tokenizer, held))):
        return content
    if start is None:
        if "checkpoint" in held:
            raise InputError("[held_out] has a checkpoint, and there is no [start] for the other runs; add one")
        return content
    if "sizes" in design:
        raise InputError("sizes in [design] are those of the checkpoints of [start]; take them out")
    if both := sorted(tokenizer.keys() & {"vocabulary", "file"}):
        raise InputError(f"the tokenizer is that of the checkpoint; take {' and '.join(both)} out of [tokenizer]")
    folders = [read_start(base / one.checkpoint) for one in start.of_sizes]
    sizes = [folder.size for folder in folders]
    if isinstance(held.get("checkpoint"), str):
        if "sizes" in held:
            raise InputError("[held_out] has a checkpoint and sizes, which are that of its checkpoint; take sizes out")
        folders.append(read_start(base / held["checkpoint"]))
        held = {**held, "sizes": [folders[-1].size]}
    elif "held_out" in content:
        if "sizes" in held:
            raise InputError("sizes in [held_out] need a start; name its folder as checkpoint in [held_out] instead")
        held = {**held, "sizes": sizes}
    _check_family(folders)
    filled = [{**one.model_dump(), "size": size} for one, size in zip(start.of_sizes, sizes, strict=True)]
    others = {key: value for key, value in content["start"].items() if key not in ("checkpoint", "family")}
    own = {"file": f"{start.of_sizes[0].checkpoint}/tokenizer.json"}
    return {
        **content,
        "start": {**others, "family": filled},
        "design": {**design, "sizes": sizes},
        "tokenizer": {**own, **(tokenizer if "end_of_text" in tokenizer else {"end_of_text": folders[0].end_of_text})},
        **({"held_out": held} if "held_out" in content else {}),
    }


def _check_family(folders: Sequence[StartFolder]) -> None:
    """InputError where checkpoints differ in their tokenizer, or do not differ in size."""
    for number, one in enumerate(folders):
        for other in folders[:number]:
            if one.size == other.size:
                raise InputError(
                    f"{other.folder} and {one.folder} both have {one.size:,} parameters; a start is known by its size, "
                    "so take one of them out"
                )
        if one.tokenizer.read_bytes() != folders[0].tokenizer.read_bytes():
            raise InputError(
                f"{folders[0].folder} and {one.folder} have different tokenizers; the starts of one study need one"
            )


def _check_block(study: StudyFile) -> None:
    for one in study.starts:
        start = read_start(study.base / one.checkpoint)
        if start.longest is not None and study.training.block > start.longest:
            raise InputError(
                f"block in [training] is {study.training.block:,}, and {start.folder} reads at most {start.longest:,} "
                "tokens; lower it"
            )


def with_hashes(study: StudyFile) -> StudyFile:
    """The study with the hashes of the weights that its runs begin from; reads them whole.

    InputError where a study file states another one.
    """
    if study.start is None:
        return study
    family = tuple(_hashed(study, one) for one in study.start.of_sizes)
    start = study.start.model_copy(update={"checkpoint": None, "family": family})
    held = study.held_out
    if held is not None and held.checkpoint is not None:
        held = held.model_copy(update={"sha256": _hashed(study, study.starts[-1]).sha256})
    return study.model_copy(update={"start": start, "held_out": held})


def _hashed(study: StudyFile, one: StartOf) -> StartOf:
    found = read_start(study.base / one.checkpoint).hash
    if one.sha256 not in (None, found):
        raise InputError(
            f"{study.base / one.checkpoint}: its sha256 is {found}, and the study file says {one.sha256}; put that "
            "checkpoint back, or take sha256 out"
        )
    return one.model_copy(update={"sha256": found})


def study_content(path: Path, extending: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the content of a study file over that of the file it extends, unchecked.

    extending: the files that led to it, the first one first.
    """
    if path.resolve() in [other.resolve() for other in extending]:
        raise InputError(f"{extending[-1]}: extends {path}, which extends it in turn; take one of the two out")
    content = _toml(path, extending)
    base = content.pop(EXTENDS, None)
    if base is None:
        return content
    if not isinstance(base, str) or "\0" in base:
        raise InputError(f'{path}: "{EXTENDS}" is {repr(base)}; give the path of one study file, such as "base.toml"')
    return _merged(study_content(path.parent / base, (*extending, path)), content)


def _toml(path: Path, extending: tuple[Path, ...]) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(LONGEST + 1).lstrip("\ufeff")
        if len(text) > LONGEST:
            raise InputError(f"{path}: longer than {LONGEST:,} characters; name a study file")
        return tomllib.loads(text)
    except FileNotFoundError as error:
        if extending:
            raise InputError(f"{extending[-1]}: extends {path}, which is not there; fix the path") from error
        raise InputError(f"{path}: no such file; `infusionlaw init {path}` writes one to start from") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder; name a study file, such as {path / 'study.toml'}") from error
    except InputError:
        raise
    except UnicodeDecodeError as error:
        refuse_others(path, "study")
        raise InputError(f"{path}: the text is not UTF-8 at byte {error.start}; save the file as UTF-8") from error
    except (OSError, RecursionError, ValueError) as error:  # a NUL in the path, 10,000 digits, and deep nesting too
        refuse_others(path, "study")
        raise InputError(f"{path}: not valid TOML: {error}") from error


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The base's values with `own` over them; tables key by key, everything else whole."""
    both = {key: _merged(base[key], own[key]) for key in own if _is_table(base.get(key)) and _is_table(own[key])}
    return {**base, **own, **both}


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _sentence(error: ValidationError) -> str:
    """The most telling complaint of pydantic in one sentence of ours."""
    errors = error.errors(include_url=False)
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])  # it may be why another is missing
    place = [str(part) for part in first["loc"]]
    *sections, key = place or [""]
    where = f"in [{'.'.join(sections)}]" if sections else "at the top"
    if first["type"] == "extra_forbidden":
        return f'unknown key "{key}" {where}; {nearest(key, _known(sections))}'
    if first["type"] == "missing":
        return f'"{key}" is missing {where}; add it'
    if first["type"] == "value_error":
        return f"[{'.'.join(place)}]: {first['ctx']['error']}" if first["loc"] else str(first["ctx"]["error"])
    if first["type"] in ("too_short", "string_too_short"):
        return f'"{".".join(place)}" is empty; give at least one'
    message = first["msg"].replace("a valid tuple", "a list, such as [1, 2]")
    return f'"{".".join(place)}" is {repr(first["input"])}: {message[0].lower()}{message[1:]}'


def _known(sections: list[str]) -> list[str]:
    model: Any = StudyFile
    for section in sections:
        if section in model.model_fields:  # else it is a name or a place, as in [questions.medqa] and [[start.family]]
            model = _section_in(model.model_fields[section].annotation)
    return [*([] if sections else [EXTENDS]), *(name for name in model.model_fields if name != "base")]


def _section_in(kind: Any) -> Any:
    """The section that a type is or holds."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next((found for part in get_args(kind) if (found := _section_in(part))), None)


TEMPLATE = """\
# A study: small models of several sizes, trained at several doses of domain facts, then a law and a prediction.
# Run it with `infusionlaw run THIS_FILE`; look first with `infusionlaw run THIS_FILE --dry-run`.
# A file that begins with `extends = "base.toml"` has the settings of that file, and its own where it gives any.
name = {name}
seed = 0                            # draws which subjects are domain, prior and unseen

[facts]
source = "atlas"                    # built in: cities and countries; or your files: ["facts.csv"]
templates = []                      # your templates: ["templates.toml"]; atlas brings its own
relations = ["city-country", "city-population"]   # [] takes all
renderings = 0                      # in how many templates of its relation a domain fact is stated; 0: all
domain = 32                         # subjects whose facts are infused
prior = 32                          # subjects every run learns at one fixed rate
unseen = 32                         # subjects no run ever sees: the guessing baseline

[text]
source = "python-docs"              # built in: docstrings; or your files, folders, globs: ["corpus/*.jsonl.gz"]
field = "text"                      # the text field of JSON and Parquet files
validation = 0.02                   # part of the documents kept for validation loss
keep_stating = false                # true: documents that state a domain fact by themselves stay in the training text

[tokenizer]
vocabulary = 1024                   # a BPE of this size is trained; or: file = "tokenizer.json"

# [questions.medqa]                 # a multiple-choice file; recall:medqa and answer_loss:medqa become columns
# file = "medqa.jsonl"              # question, choices and answer in any usual shape; or CSV, Parquet
# role = "domain"                   # or "general": what should not be forgotten
# prompt = "cloze"                  # the options are scored; or "lettered": they are listed, and A, B, ... are scored
# shots = 0                         # solved questions of the file put before each
# limit = 0                         # ask at most so many, evenly spread; 0: all

[infusion]
prior_share = 0.25                  # prior facts' part of what is not infused
prior_questions = true              # they are stated in questions too, and so are probed in a form that is known
schedule = "even"                   # or "early", "late": the odds of infused tokens fall, rise a hundredfold over a run
max_exposures = 5000                # refuse doses that would state a fact more often than this

[design]
design = "grid"                     # every dose with every seed; or "search": from these doses on, where it tells most
sizes = ["14k", "28k", "55k"]       # non-embedding parameters
tokens = ["1.5M"]                   # training tokens; several share one stable phase; or: tokens_per_parameter = 20
# shares: infused tokens / training tokens; dose 0 is added; or: exposures = [...]
shares = [0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.88, 0.93, 0.97, 0.99]
once = []                           # more doses, run with the first seed only
seeds = [1, 2, 3, 4, 5, 6]          # with fewer, a collapse is found but not well: try `infusionlaw power THIS_FILE`

[search]                            # of design = "search"; a curve is one size and token count
width = 0.1                         # a collapse is located when half its interval is no wider, dex
runs = 64                           # the most runs of a curve
round = 4                           # runs that a curve takes before it is looked at again

# [start]                           # continued pre-training: every run begins from a checkpoint, and sizes are its own
# checkpoint = "my-model"           # a Hugging Face folder; or one a size: [[start.family]] checkpoint = "small"
# rate = 0.5                        # peak learning rate as a part of the recipe's for a model of that size
# tokens = "300B"                   # what it was trained on before, for the table

[held_out]                          # predicted first, then trained
sizes = ["110k"]
seeds = [1]
advised = false                     # true: also at the advised dose, at a quarter and at four times it

[training]
recipe = "2026-11"                  # the rules for shapes, rates and batches, by name
block = 128                         # tokens a block

[run]
on = "local"                        # or "ray": a cluster; "external": your own trainer
devices = 0                         # GPUs, or cores where there are none; 0: all

[law]
tolerance = 0.2                     # rise of validation loss, bits per byte; a large model should lose less: 0.05
# forgetting = 0.05                 # fall of retention below that of the [start]

# [track]                           # curves for people to watch, which change no result
# to = ["tensorboard"]              # or "trackio", "wandb"; each needs its extra, as in pip install ".[tensorboard]"
"""


def write_template(path: str | Path) -> Path:
    """Write a commented study file to start from; an existing file is never overwritten."""
    path = Path(path)
    if path.exists():
        raise InputError(f"{path}: exists already; choose another name or remove it first")
    path.parent.mkdir(parents=True, exist_ok=True)
    name = json.dumps(path.stem.encode(errors="replace").decode(), ensure_ascii=False).replace(
        "\x7f", "\\u007f"
    )  # as TOML wants it too
    path.write_text(TEMPLATE.format(name=name), encoding="utf8")
    return path
