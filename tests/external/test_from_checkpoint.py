"""Continued pre-training: Pythia-70M on the Pile and Python (arXiv 2403.16952), replay tables (arXiv 2403.08763)."""

from pathlib import Path

import pytest

from infusionlaw.law.losses.fit import fit_losses
from infusionlaw.law.losses.law import LossLaw
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.tabular import read_rows

DATA = Path(__file__).parents[2].parent / "shared" / "data"
PYTHIA = DATA / "cpt_from_checkpoint" / "pythia70m_pile_python.csv"
REPLAY = DATA / "cpt_critical_ratio_tables" / "ibrahim2024_replay_tables.csv"
PUBLISHED, CHECK = 0.28622540757637893, "0.28515625"


def pythia(last: bool) -> dict[str, LossLaw]:
    """Laws of the losses from the four shares; last: of the last checkpoints alone."""
    rows = [
        RunRecord(
            70e6,
            1e6 * float(row["step"]),
            share=float(row["python_share"]),
            val_bpb=float(row["pile_loss"]),
            loss_unit="nats per token",
            curve=row["pile_share"],
            more=(
                ("domain_loss", float(row["python_loss"])),
                ("start_val_bpb", float(row["pile_loss_at_start"])),
                ("start_domain_loss", float(row["python_loss_at_start"])),
            ),
        )
        for row in read_rows(PYTHIA)[1].values()
        if row["pile_share"] != CHECK and (row["step"] == "10000" or not last)
    ]
    return {law.loss: law for law in fit_losses(rows)}


@pytest.mark.skipif(not PYTHIA.exists(), reason="needs the table of arXiv 2403.16952")
@pytest.mark.parametrize("last", [True, False])
def test_the_share_that_keeps_the_pile_where_it_was(last: bool) -> None:
    laws = pythia(last)
    answer = laws["val_bpb"].answer(0.0, 70e6, 1e10)
    assert answer.since == "the start" and answer.unit == "nats per token"
    found = answer.largest.map(lambda share: 1 - share)
    assert found.value is not None and found.low is not None and found.high is not None
    assert abs(found.value - PUBLISHED) < 0.005
    assert found.high < PUBLISHED < found.low  # 1 minus a share turns the interval around
    measured = next(
        row for row in read_rows(PYTHIA)[1].values() if row["pile_share"] == CHECK and row["step"] == "10000"
    )
    share = float(measured["python_share"])
    for name, column in (("val_bpb", "pile_loss"), ("domain_loss", "python_loss")):
        change = laws[name].answer(None, 70e6, 1e10, share).change
        true = float(measured[column]) - float(measured[f"{column}_at_start"])
        assert change.value == pytest.approx(true, abs=0.005)


def replayed(setting: str, without: str = "") -> LossLaw:
    """The law of the old domain's loss by the share of the new one, without one replay percentage."""
    rows = [
        RunRecord(
            405e6,
            1e11,
            share=1 - float(row["replay_pct"]) / 100,
            val_bpb=float(row["old_domain_loss"]),
            loss_unit="nats per token",
            more=(("start_val_bpb", float(row["base_old_loss"])),),
        )
        for row in read_rows(REPLAY)[1].values()
        if row["setting"] == setting and row["replay_pct"] not in ("0", without)
    ]
    return fit_losses(rows)[0]


@pytest.mark.skipif(not REPLAY.exists(), reason="needs the replay tables of arXiv 2403.08763")
def test_replay_of_the_old_text_keeps_its_loss() -> None:
    """A tenth of replay is told from the other shares, and a limit lies between the shares around it."""
    german = replayed("405M Pile->German", without="10").answer(None, 405e6, 1e11, 0.9).change
    assert german.value == pytest.approx(2.46 - 2.17, abs=0.02)
    largest = replayed("405M Pile->SlimPajama").answer(0.05, 405e6, 1e11).largest
    assert largest.value is not None and 0.90 < largest.value < 0.95  # 10 % replay costs .04, 5 % .06
