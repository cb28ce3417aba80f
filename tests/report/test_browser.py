"""The page in a real browser: Debian's chromium and chromium-driver. Skipped where they are not installed."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planlaws import known_cost, known_law

from infusionlaw.errors import InputError
from infusionlaw.fitting import fit
from infusionlaw.law.design.simulate import World, simulate
from infusionlaw.law.dose import Interval
from infusionlaw.law.planning.plan import UNBOUND, Plan, predict
from infusionlaw.law.scaling.law import Law
from infusionlaw.report.material import material_of, usual_target
from infusionlaw.report.page import write_page
from infusionlaw.runs.outcomes import OUTCOMES, Outcome
from infusionlaw.runs.record import UNSTATED, RunRecord

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromium-driver are not installed")
HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1><a href='javascript:hacked=1'>"
DOSES = (0.0, 0.1, 0.3, 0.6, 0.8, 0.9, 0.95)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def runs(sizes: int = 2, seeds: int = 1) -> list[RunRecord]:
    rng = np.random.default_rng(0)
    return simulate(World(), [10_000 * 2**i for i in range(sizes)], [1_500_000], DOSES, seeds, rng)[0]


def law_of_shares() -> Law:
    return known_law((-1, 0.1, -0.2, 0.1), (1, 0.1, 0.3, 0.1), (0.8, 0.2, 0.3, 0.2), cost=known_cost(0.2))


def law_of_exposures() -> Law:
    cost = known_cost(0.002, 0.6, unit="exposures")
    points = (1.5, 0.1, -0.2, 0.3), (3, 0.2, 0.3, 0.1), (2.5, 0.2, 0.3, 0.1)
    return known_law(*points, cost=cost, unit="exposures", largest=3000)


def law_of_facts() -> Law:
    law = known_law(None, (4, 0.2, 0.8, 0), facts=None, tokens_per_fact=None, unit="facts", largest=1e6)
    return replace(law, token_counts=(UNSTATED,))


def runs_of_losses() -> list[RunRecord]:
    rng = np.random.default_rng(0)
    return [
        RunRecord(
            n,
            d,
            share=r,
            val_bpb=2 + 300 / n**0.3 + 0.04 * np.exp(3 * r) * (d / 1e9) ** 0.2 - 0.1 + rng.normal(0, 0.002),
            loss_unit="nats per token",
            more=(("domain_loss", 1.5 - 0.4 * r**0.4 + rng.normal(0, 0.002)), ("start_val_bpb", 2 + 300 / n**0.3)),
        )
        for n in (5e7, 1e8)
        for d in (5e8, 2e9)
        for r in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
    ]


def law_of_losses() -> Law:
    return fit(runs_of_losses(), 0.05, 60)[1]


def law_of_repetition() -> Law:
    """The same, where domain text that is read too often no longer helps."""
    law = law_of_losses()
    lowest = 0.1 * law.token_counts[0]
    return replace(
        law,
        losses=tuple(each if each.displaced else replace(each, turn="is low", lowest=lowest) for each in law.losses),
    )


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Callable[..., Path]:
    """Open the page of a law, and of rows, at a width and in a colour scheme."""

    def of(
        law: Law, rows: list[RunRecord] | None = None, name: str = "runs.csv", width: int = 1280, scheme: str = "light"
    ) -> Path:
        material = material_of(Path(name), law, predict(law, *usual_target(law)), (), rows or [])
        page = write_page(material, tmp_path / "page.html")
        view = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", view)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        for log in ("browser", "performance"):
            browser.get_log(log)
        browser.get(page.as_uri())
        browser.execute_script("figures.drawAll()")
        return page

    return of


def targets(law: Law, count: int) -> list[dict[str, float | None]]:
    rng = np.random.default_rng(count)

    def between(low: float, high: float) -> float:
        return float(10 ** rng.uniform(np.log10(low), np.log10(high)))

    return [
        {
            "size": between(min(law.sizes) / 20, 25 * max(law.sizes)),
            "tokens": UNSTATED
            if law.token_counts == (UNSTATED,)
            else between(min(law.token_counts) / 20, 25 * max(law.token_counts)),
            "facts": law.facts * between(0.1, 10) if law.facts and i % 3 else None,
            "risk": between(0.01, 0.5),
            "tolerance": between(0.005, 1) if i % 5 else None,
        }
        for i in range(count)
    ]


def assert_same(found: Mapping[str, Any], plan: Plan) -> None:
    assert found["status"] == plan.status
    if plan.dose.x.value is not None:
        assert (found["binding"] or UNBOUND) == plan.binding
    pairs: list[tuple[Any, Interval]] = [
        *((found["dose"][unit], getattr(plan.dose, unit)) for unit in UNITS),
        (found["infused"], plan.dose.tokens),
        *((found[name], getattr(plan, name)) for name in ("recall", "rise", "known")),
        *((found["points"][kind][unit], getattr(p, unit)) for kind, p in plan.points.items() for unit in UNITS),
    ]
    pairs += [
        ({"value": mine[unit]["value"], "low": None, "high": None}, Interval(getattr(limit, unit)))
        for mine, limit in zip(found["limits"], plan.constraints, strict=True)
        for unit in UNITS
    ]
    if plan.dose.x.value is not None:
        pairs += [(mine["change"], loss.change) for mine, loss in zip(found["losses"], plan.losses, strict=True)]
    for mine, theirs in pairs:
        for name, end in theirs.as_dict().items():
            assert mine[name] == (None if end is None else pytest.approx(end, rel=5e-4, abs=1e-6))


UNITS = ("share", "exposures", "facts")


@pytest.mark.parametrize("law", [law_of_shares, law_of_exposures, law_of_facts, law_of_losses, law_of_repetition])
def test_the_calculator_says_what_predict_says(
    browser: Any, opened: Callable[..., Path], law: Callable[[], Law]
) -> None:
    check(browser, opened, law(), 6)


@pytest.mark.parametrize("law", [law_of_shares, law_of_exposures, law_of_facts, law_of_losses, law_of_repetition])
def test_the_calculator_says_what_predict_says_at_two_hundred_targets(
    browser: Any, opened: Callable[..., Path], law: Callable[[], Law]
) -> None:
    check(browser, opened, law(), 100)


def check(browser: Any, opened: Callable[..., Path], law: Law, count: int) -> None:
    opened(law)
    for target in targets(law, count):
        found = browser.execute_script("return {...calculator.plan(form.law, arguments[0]), curve: null}", target)
        values = {name: value for name, value in target.items() if name not in ("size", "tokens")}
        assert_same(found, predict(law, float(target["size"] or 0), float(target["tokens"] or 0), rules=(), **values))


def test_beyond_thirty_times_the_calculator_refuses_as_predict_does(browser: Any, opened: Callable[..., Path]) -> None:
    law = law_of_shares()
    opened(law)
    with pytest.raises(InputError, match="too far"):
        predict(law, 2e7, 1.5e6)
    type_into(browser, "size", "20M")
    assert text_of(browser, "#dose").startswith("Too far to predict")
    assert text_of(browser, "#command").endswith("--extrapolate")


def test_the_plan_follows_the_keyboard(browser: Any, opened: Callable[..., Path]) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(law_of_shares())
    first = text_of(browser, "#dose")
    assert first.startswith("Give a share of 0.")
    type_into(browser, "tolerance", "0.003")
    strict = text_of(browser, "#dose")
    assert strict != first and "more than 0.003" in text_of(browser, "#plan")
    browser.switch_to.active_element.send_keys(Keys.TAB)
    slider = browser.switch_to.active_element
    assert slider.get_attribute("id") == "tolerance-slider"
    slider.send_keys(Keys.END)
    assert text_of(browser, "#dose") == first
    assert element(browser, "#tolerance").get_attribute("value") == "2"
    type_into(browser, "tolerance", "none")
    assert "largest dose by validation loss" not in text_of(browser, "#plan")
    type_into(browser, "size", "many")
    assert text_of(browser, "#dose") == "Size: write it like 300M, 1.3B or 1e9."
    assert element(browser, "#size").get_attribute("aria-invalid") == "true"


def test_a_page_of_losses_alone_speaks_of_nothing_else(browser: Any, opened: Callable[..., Path]) -> None:
    rows = [
        replace(row, val_bpb=None, more=tuple((f"{name}:wiki", value) for name, value in row.more))
        for row in (replace(row, more=(*row.more, ("val_bpb", row.val_bpb or 0.0))) for row in runs_of_losses())
    ]
    opened(fit(rows, 0.05, 60)[1], rows, width=360)
    shown = browser.execute_script("return document.body.innerText").lower()
    for word in ("recall", "collapse", "facts", "exposures", "risk", "bits per byte", "general loss"):
        assert word not in shown, word
    assert "validation loss on wiki" in shown and "domain loss on wiki" in shown
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    assert browser.execute_script("return document.getElementById('plan-chart').data.length") == 6
    type_into(browser, "tolerance", "none")
    assert text_of(browser, "#dose").endswith("Give a tolerance.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_both_schemes(browser: Any, opened: Callable[..., Path], scheme: str) -> None:
    opened(law_of_shares(), runs(), width=360, scheme=scheme)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    paper, ink, drawn = browser.execute_script(
        "return [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color, "
        "getComputedStyle(document.querySelector('figure .xtick text')).fill]"
    )
    assert ink == drawn
    assert (sum(json.loads(f"[{paper[4:-1]}]")) < 3 * 128) == (scheme == "dark")


def test_it_asks_nobody_for_anything_and_no_name_becomes_code(
    browser: Any, opened: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OUTCOMES, "quiz", Outcome("quiz", HOSTILE, colour="other"))
    rows = [replace(row, more=(("quiz", 0.5),)) for row in runs()]
    page = opened(law_of_shares(), rows, name=f"{HOSTILE.replace('/', '')}.csv")
    assert browser.execute_script("return typeof window.hacked") == "undefined"
    shown = browser.execute_script("return [...document.querySelectorAll('figure svg text')].map(t => t.textContent)")
    assert HOSTILE in shown
    assert browser.execute_script("return document.querySelectorAll('img, figure a, h1 *').length") == 0
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {m["params"]["request"]["url"] for m in asked if m["method"] == "Network.requestWillBeSent"}
    assert urls <= {page.as_uri()}
    assert browser.get_log("browser") == []


def test_a_page_of_a_thousand_runs_is_below_three_megabytes(opened: Callable[..., Path], browser: Any) -> None:
    page = opened(law_of_shares(), runs(sizes=8, seeds=18))
    assert page.stat().st_size < 3e6


def element(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def text_of(browser: Any, selector: str) -> str:
    """An element's text, once what was typed has been worked out."""
    browser.execute_async_script("const done = arguments[0]; setTimeout(() => setTimeout(done, 0), 0)")
    return str(browser.execute_script("return document.querySelector(arguments[0]).textContent", selector))


def type_into(browser: Any, name: str, text: str) -> None:
    field = element(browser, f"#{name}")
    field.clear()
    field.send_keys(text)
