"""A table of documents and questions has no facts, so neither the terminal nor the page speaks of them."""

import re

from infusionlaw.fitting import fit
from infusionlaw.law.planning.plan import predict
from infusionlaw.report.material import Material
from infusionlaw.report.page import page
from infusionlaw.report.verdict import findings
from infusionlaw.report.words import law_text, plan_text, reasons_text
from infusionlaw.runs.record import RunRecord


def test_nothing_is_said_of_facts_where_there_are_none() -> None:
    rows = [
        RunRecord(size, 2e6, share, recall=recall, recall_se=0.02, retention=kept, retention_se=0.02, chance=0.25)
        for size in (2e4, 8e4)
        for share, recall, kept in zip(
            (0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98),
            (0.25, 0.26, 0.35, 0.6, 0.7, 0.7, 0.71, 0.7, 0.5, 0.3),
            (0.7, 0.7, 0.71, 0.7, 0.7, 0.69, 0.6, 0.4, 0.3, 0.25),
            strict=True,
        )
    ]
    points, law = fit(rows, 0.05, 50)
    plan = predict(law, 3e5, 2e6)
    material = Material("mine", "mine.csv", law, plan, tuple(points), tuple(rows))
    text = re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", page(material), flags=re.DOTALL)
    text = text.replace("Facts", "", 1)  # a field of the calculator, which its script hides
    for said in (
        text,
        plan_text(plan),
        law_text(law),
        reasons_text(points),
        " ".join(findings(law, material.comparison)),
    ):
        assert re.findall(r".{0,40}\bfacts?\b.{0,40}", said, re.IGNORECASE) == []
