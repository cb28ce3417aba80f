"""The report of whole studies made by a lab that simulates instead of training."""

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from fakelab import FakeLab
from planlaws import known_law

from infusionlaw.errors import InputError
from infusionlaw.files import write_json
from infusionlaw.law.design.simulate import TrueLaw, World
from infusionlaw.law.planning.plan import Plan, predict
from infusionlaw.law.planning.rules import HUBBLE
from infusionlaw.law.scaling.law import read_law
from infusionlaw.pipeline import run_study, write_report
from infusionlaw.report.blocks import environment
from infusionlaw.report.page import plan_part
from infusionlaw.report.words import law_text, plan_text
from infusionlaw.runs.record import RunRecord, RunSpec

STUDY = """
name = "cities <script>alert(1)</script>"
[design]
sizes = {sizes}
tokens = {tokens}
{doses}
seeds = [1, 2]
{held_out}
[law]
draws = 60
"""
SHARES = "shares = [0.1, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98]"


def make_study(
    folder: Path,
    world: World | None = None,
    *,
    sizes: Sequence[int] = (14_000, 28_000, 55_000),
    token_counts: Sequence[int] = (1_500_000,),
    doses: str = SHARES,
    held_out: Sequence[int] = (110_000,),
    diverging: int = 0,
    share_known: bool = True,
) -> Path:
    """A finished study of a simulated world, by the real chain."""
    held = f"[held_out]\nsizes = {list(held_out)}" if held_out else ""
    text = STUDY.format(sizes=list(sizes), tokens=list(token_counts), doses=doses, held_out=held)
    folder.mkdir(parents=True, exist_ok=True)
    source = folder.with_name(f"{folder.name}.toml")
    source.write_text(text)
    run_study(source, folder, FakeLab(world, diverging=diverging, share_known=share_known))
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture
def copy(study: Path, tmp_path: Path) -> Path:
    """A copy of the study to change."""
    return shutil.copytree(study, tmp_path / "copy")


@pytest.fixture(scope="module")
def page(study: Path) -> str:
    return (study / "report.html").read_text()


class Reader(HTMLParser):
    """Collects text, tags, ids and scripts, and fails on a tag that closes another."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.links: list[str] = []
        self.scripts: list[str] = []
        self.data: list[str] = []
        self.script = self.scripts
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag == "script":
            self.script = self.data if ("type", "application/json") in attrs else self.scripts
            self.script.append("")
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["script"]:
            self.words += data.split()
        else:
            self.script[-1] += data

    @property
    def text(self) -> str:
        return " ".join(self.words)


def text_of(folder: Path) -> str:
    return Reader((folder / "report.html").read_text()).text


def test_the_page_is_whole_and_its_scripts_are_ours(page: str) -> None:
    reader = Reader(page)
    assert reader.open == []
    assert not {"link", "img", "iframe", "object", "base"} & set(reader.tags)
    assert all(link.startswith("data:text/csv;") for link in reader.links)
    assert len(set(reader.ids)) == len(reader.ids)
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert policy and page.index(policy.group()) < page.index("<style>")
    rules = dict(rule.strip().split(" ", 1) for rule in unescape(policy.group(1)).split(";"))
    assert rules["default-src"] == "'none'" and rules["style-src"] == "'unsafe-inline'"
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in reader.scripts]
    assert rules["script-src"].split() == [f"'sha256-{each}'" for each in hashes] and len(hashes) == 3
    assert not {"connect-src", "img-src", "unsafe-eval"} & set(rules)


def rendered(plan: Plan) -> str:
    """A plan's part of the page as HTML."""
    template = environment().from_string('{% import "blocks.html" as blocks %}{{ blocks.show(plan) }}')
    return template.render(plan=plan_part(plan))


def test_the_plans_part_has_both_answers_far_from_the_runs() -> None:
    mine = replace(HUBBLE, source="<b>mine</b>")
    far, near = (
        predict(known_law((-2, 0.05, 0, -1)), 2e4, tokens, extrapolate=True, rules=[mine]) for tokens in (3e8, 6e6)
    )
    text = Reader(rendered(far)).text
    assert "Published rules beside the law" in text and "<b>mine</b>" in text
    assert "+1.86" in text and "Hubble's rule (exposures grow as tokens^0.93) gives" in text
    assert "<b>" not in rendered(far) and "rule" not in rendered(near)


def test_text_from_the_study_file_and_the_facts_is_escaped(page: str) -> None:
    assert "<script>alert" not in page and "<b>Lyon" not in page
    text = Reader(page).text
    assert text.count("cities <script>alert(1)</script>") >= 2  # the title and the study file
    assert "as “<b>Lyon</b> is in France.” and asked for as “Where is <b>Lyon</b>? France.”" in text


def test_the_verdict_says_what_was_predicted_when_and_what_came_out(study: Path) -> None:
    text, comparison = text_of(study), json.loads((study / "comparison.json").read_text())
    row = next(row for row in comparison["points"] if row["kind"] == "collapse")
    predicted, observed = row["predicted"]["value"], row["observed"]["value"]
    assert f"For the held-out 110k model the law predicted collapse at a share of {predicted:.2f}" in text
    assert f"Observed: a share of {observed:.2f}" in text
    assert f"{abs(row['error_dex']):.2f} dex {'higher' if row['error_dex'] > 0 else 'lower'}" in text
    assert comparison["written"][:10] in text and "before any of its runs was trained" in text
    assert "true prediction" not in text


def test_a_prediction_that_knew_held_out_runs_is_not_called_one(copy: Path) -> None:
    comparison = json.loads((copy / "comparison.json").read_text())
    write_json(copy / "comparison.json", comparison | {"already_known": 3})
    text = text_of(write_report(copy).parent)
    assert "3 held-out runs were already known when the prediction was written: it was no true prediction" in text
    assert "before any" not in text and "predicted first" not in text


def test_the_same_files_give_the_same_page_and_figures(copy: Path, tmp_path: Path) -> None:
    again = write_report(copy, out=tmp_path / "again.html")
    assert again.read_bytes() == (copy / "report.html").read_bytes()


def test_the_table_can_be_saved_from_the_page(study: Path, page: str) -> None:
    (data,) = re.findall(r'download="table.csv" href="data:text/csv;base64,([^"]+)"', page)
    assert base64.b64decode(data) == (study / "table.csv").read_bytes()


def test_the_ledger_adds_up_over_runs(study: Path) -> None:
    ledgers = [json.loads(path.read_text()) for path in study.glob("runs/*/ledger.json")]
    text = text_of(study)
    for name in ("domain", "prior", "general"):
        assert f" {sum(ledger['tokens'][name] for ledger in ledgers):,}" in text
    exposures = [fact["exposures"] for ledger in ledgers for fact in ledger["domain"]["exposures"]]
    assert f"all {len(ledgers)} {min(exposures)} to {max(exposures)}" in text
    assert "37 documents state a domain fact and were left out" in text
    assert "facts left out: the answer shows in the subject 12" in text


def test_validation_text_that_was_trained_on_is_remarked(copy: Path) -> None:
    words = "of the validation text stands word for word in the training text"
    assert words not in text_of(copy)
    path = copy / "corpus" / "corpus.json"
    content = json.loads(path.read_text())
    for repeated, told in ((3100, True), (200, False)):
        counts = content["counts"] | {
            "validation_tokens": 10_000,
            "validation_tokens_in_training_text": repeated,
        }
        write_json(path, content | {"counts": counts})
        assert (f"{repeated // 100} % {words}" in text_of(write_report(copy).parent)) == told


def test_hashes_say_whether_the_prediction_came_from_the_table_that_is_here(copy: Path) -> None:
    assert "(the same as now)" in text_of(copy)
    (copy / "fitted.csv").write_text((copy / "fitted.csv").read_text().replace("14000", "14001"))
    assert "(NOT the fitted.csv that is here now)" in text_of(write_report(copy).parent)


def test_a_study_without_collapse_or_held_out_sizes_says_so(tmp_path: Path) -> None:
    doses = "shares = [0.3, 0.6, 0.9]"
    folder = make_study(tmp_path, World(collapse=None, spread=0.0), held_out=(), doses=doses)
    text = text_of(folder)
    for words in (
        "No collapse of recall was found for 14k parameters",
        "55k parameters (not reached",
        "No law of the collapse point was fitted",
        "No held-out model was compared with a prediction.",
        "No size was held out, so no prediction was put to the test.",
        "validation loss would rise by more than",  # which holds the dose back alone
        "the advised dose lies below the smallest dose tried (0.30)",
    ):
        assert words in text


def test_a_single_size_that_learned_nothing_says_so(tmp_path: Path) -> None:
    doses = "shares = [0.3, 0.6, 0.9]"
    text = text_of(make_study(tmp_path, World(acquisition=None), sizes=[14_000], doses=doses))
    assert "recall never leaves guessing: nothing was ever learned" in text
    assert "nothing was predicted, for want of a law" in text


def test_several_token_counts_get_figures_each_and_diverged_runs_are_named(tmp_path: Path) -> None:
    folder = make_study(tmp_path, sizes=[14_000, 55_000], token_counts=[1_500_000, 6_000_000], held_out=(), diverging=3)
    reader = Reader((folder / "report.html").read_text())
    names = ("verbatim recall", "Validation loss")
    for figure in (f"{name} by dose, one colour for each size." for name in names):
        assert all(f"{figure} Token count: {tokens}." in reader.text for tokens in ("1.5M", "6M"))
    diverged = re.search(r"Left out of the fits, because they have no scores: (.*?)\.", reader.text)
    assert diverged and diverged[1].count("(14k, seed") == 3


class Interacting(FakeLab):
    """A lab whose exponent of size grows with tokens, which no power law describes."""

    def _measure(self, spec: RunSpec) -> RunRecord:
        slope = 1.2 * float(np.log10(spec.tokens / 2e6))
        self.world = replace(World(), collapse=TrueLaw(0.4, slope), acquisition=TrueLaw(-1.3), fall=0.5)
        return super()._measure(spec)


def test_what_no_power_law_describes_is_said_with_the_law_the_plan_and_in_the_report(tmp_path: Path) -> None:
    doses = "shares = [0.05, 0.15, 0.3, 0.5, 0.67, 0.8, 0.9, 0.95, 0.98]"
    sizes, token_counts = (10_000, 30_000, 270_000), (1_000_000, 4_000_000)
    source = tmp_path / "source.toml"
    folder = tmp_path / "out"
    source.write_text(STUDY.format(sizes=list(sizes), tokens=list(token_counts), doses=doses, held_out=""))
    run_study(source, folder, Interacting())
    law = read_law(folder / "law.json")
    notes = [(kind.kind, note) for kind in law.kinds for note in kind.notes]
    assert {"collapse", "retention"} <= {kind for kind, note in notes if "changes with tokens" in note}
    told, planned = law_text(law), plan_text(predict(law, 5e5, 4e6))
    for kind, note in notes:
        (after,) = [part for part in told.split("law of ") if part.startswith(f"{kind}:")]
        assert after.count(f"note: {note}.") == 1
        assert planned.count(f"Note: in the law of {kind}, t{note[1:]}.") == 1
    law_part = text_of(folder).split("The law odds")[1].split("Predicted and observed")[0]
    assert all(f"Law of {kind}: {note}." in law_part for kind, note in notes)
    verdict_part = text_of(folder).split("Scores by dose")[0]
    assert verdict_part.count(f"{law.of('collapse').notes[0]}.") == 1


def test_exposures_are_the_unit_where_no_share_is_known(tmp_path: Path) -> None:
    doses = "exposures = [70, 220, 440, 590, 660, 700, 720]"
    text = text_of(make_study(tmp_path, World(fall=0.4), sizes=[14_000, 28_000], doses=doses, share_known=False))
    assert re.search(r"[Rr]ecall collapses beyond [\d,]+ \[[^]]+\] exposures for 14k parameters", text)
    assert "Give" not in text


def test_a_folder_that_is_no_finished_study_is_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "comparison.json").unlink()
    with pytest.raises(InputError, match=r"comparison.json is not there yet.*again"):
        write_report(copy)
    with pytest.raises(InputError, match=r"no study.json"):
        write_report(tmp_path)
