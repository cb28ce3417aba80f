"""Files in, facts and templates out; what cannot be used is refused with its place."""

import json
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from infusionlaw.corpus.facts import AMBIGUOUS, DUPLICATE, SHOWN, Fact, Templates
from infusionlaw.corpus.readers import NAMES, PARTS, load_knowledge, read_facts, read_templates
from infusionlaw.errors import InputError

FACTS = [Fact("Lyon", "in", "France", "city"), Fact('Say "Oslo", twice', "in", "Norway", "city")]
TOML = """# how it is said
[in]
statements = ["{subject} lies in {object}.", '{object} has {subject}.']
questions = ["Where is {subject}? {object}."]
"""


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def jsonl(path: Path, *rows: object) -> Path:
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


def rows(facts: list[Fact]) -> list[dict[str, str]]:
    return [vars(fact) for fact in facts]


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    return write(tmp_path / "templates.toml", TOML)


def refusal(call, *arguments) -> str:
    with pytest.raises(InputError) as error:
        call(*arguments)
    return str(error.value)


def facts_refusal(path: Path) -> str:
    return refusal(lambda: list(read_facts(path)))


def test_every_format_gives_the_same_facts(tmp_path):
    header = "subject,relation,object,subject_type,note\n"
    quoted = '"Say ""Oslo"", twice"'
    files = [
        write(tmp_path / "a.csv", f"\ufeff{header}Lyon,in,France,city,x\n\n{quoted},in, Norway ,city,\n"),
        write(
            tmp_path / "a.tsv",
            f"{header}Lyon,in,France,city,x\n{quoted},in,Norway,city,\n".replace(", twice", "@")
            .replace(",", "\t")
            .replace("@", ", twice"),
        ),
        jsonl(tmp_path / "a.jsonl", *rows(FACTS)),
        tmp_path / "a.parquet",
    ]
    parquet.write_table(pa.Table.from_pylist(rows(FACTS)), files[-1])
    for path in files:
        assert [fact for _, fact in read_facts(path)] == FACTS, path


def test_places_are_rows_as_a_spreadsheet_counts_them(tmp_path):
    path = write(tmp_path / "a.csv", 'subject,relation,object,note\na,in,x,"two\nlines"\n\nb,in,y,\n')
    assert [(place.split(", ")[1], fact.subject) for place, fact in read_facts(path)] == [
        ("row 2", "a"),
        ("row 4", "b"),
    ]


def test_lama_rows_are_facts(tmp_path):
    row = {"uuid": "1", "obj_uri": "Q142", "obj_label": "France", "sub_uri": "Q456", "sub_label": "Lyon"}
    path = jsonl(tmp_path / "P17.jsonl", {**row, "predicate_id": "P131"}, row)
    assert [fact.relation for _, fact in read_facts(path)] == ["P131", "P17"]
    assert [(fact.subject, fact.object) for _, fact in read_facts(path)] == [("Lyon", "France")] * 2


@pytest.mark.parametrize(("value", "text"), [(69, "69"), (1999.0, "1999"), (0.5, "0.5")])
def test_numbers_are_read_as_text(tmp_path, value, text):
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"subject": ["Lyon"], "relation": ["code"], "object": [value]}), path)
    assert next(read_facts(path))[1].object == text


@pytest.mark.parametrize(
    ("objects", "read"),
    [
        (["1999.0", "2004.0"], ["1999", "2004"]),
        (["1999.0", "Paris"], ["1999.0", "Paris"]),
        (["1999.0", "2004.5"], ["1999.0", "2004.5"]),
        (["007.0", "2.0"], ["007.0", "2.0"]),
    ],
)
def test_years_kept_as_floats_lose_their_point_where_the_whole_column_is_like_that(tmp_path, objects, read):
    text = "subject,relation,object\n" + "".join(f"s{i},founded,{value}\n" for i, value in enumerate(objects))
    assert [fact.object for _, fact in read_facts(write(tmp_path / "a.csv", text))] == read


def test_a_column_that_is_not_asked_for_does_not_make_a_table_unreadable(tmp_path):
    stamp = pa.array([10**18 + 1], pa.timestamp("ns"))
    columns = {"subject": ["Lyon"], "relation": ["in"], "object": [date(1999, 1, 2)], "x": [b"\xff"], "y": stamp}
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert [fact for _, fact in read_facts(tmp_path / "a.parquet")] == [Fact("Lyon", "in", "1999-01-02")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("popqa.tsv", 'id\tsubj\tprop\tobj\tsubj_id\tpossible_answers\n1\tLyon\tin\tFrance\t7\t["France", "FR"]\n'),
        ("conceptnet.jsonl", '{"sub": "Lyon", "pred": "in", "obj": "france", "obj_label": "France"}\n'),
        ("semicolon.csv", "Subject;Relation;Object\nLyon;in;France\n"),
        ("triples.csv", "head,relation,tail\nLyon,in,France\n"),
        ("list.json", '[{"subject": "Lyon", "relation": "in", "object": "France"}]'),
        ("wikidata.csv", "subject,subject_label,predicate,object,object_label\nLyon,,in,France,\n"),
    ],
)
def test_the_usual_names_of_columns_are_known(tmp_path, name, text):
    assert [fact for _, fact in read_facts(write(tmp_path / name, text))] == [Fact("Lyon", "in", "France")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "subject,relation\nLyon,in\n", "no column is known as the object"),
        ("a.csv", "term,in,is\nLyon,in,France\n", "subject or the relation or the object; a fact needs"),
        ("a.csv", "subject,relation,object\nLyon,in,France\nOslo,in\n", "row 3: the header has 3 cells and this row 2"),
        ("a.csv", "subject,relation,object\nLyon,in,France, Europe\n", "row 2: the header has 3 cells and this row 4"),
        ("a.csv", "subject,relation,object\nLyon,in, \n", 'row 2: "object" is empty'),
        ("a.csv", 'subject,relation,object\n"Lyon,in,France\n', "row 2: cannot be split"),
        (
            "a.csv",
            'subject,relation,object\n"Lyon\nOslo",in,France\n',
            'row 2: "subject" has 2 lines, the first "Lyon"',
        ),
        ("a.csv", "subject,relation,object,object\na,b,c,d\n", 'two columns are named "object"'),
        ("a.csv", b"subject,relation,object\nLyon,in,France\nMalm\xf6,in,Sweden\n", "not UTF-8 at byte 43, in line 3"),
        ("a.csv", "subject,relation,object\n", "there are no rows"),
        ("a.csv", "", "the file is empty"),
        ("a.jsonl", '{"subject": "a", "relation": "in", "object": "b"}\n{"subject": \n', "row 2: broken JSON"),
        ("a.jsonl", "[" * 100_000 + "\n", "row 1: broken JSON"),
        ("a.jsonl", '["a", "in", "b"]\n', "row 1: not a JSON object"),
        ("a.jsonl", '{"subject": "a", "relation": "in", "object": true}\n', "neither text nor a number"),
        ("a.jsonl", '{"subject": "a", "relation": "in", "object": "x\\ud83d"}\n', 'row 1: "object" is not UTF-8'),
        ("a.jsonl", '\n{"subject": "a", "object": "b"}\n', "no column is known as the relation"),
        ("a.jsonl", '{"subject": "a", "relation": "in", "object": ["b"]}\n', "neither text nor a number"),
        ("a.csv", "subject,relation,object\nLyon,in," + "a " * 5001 + "\n", 'row 2: "object" has 10,001 characters'),
        ("a.jsonl", '{"subject": null, "relation": "in", "object": "b"}\n', 'row 1: "subject" is empty'),
        ("a.jsonl", '{"sub_label": "a", "predicate_id": "P1"}\n', "no column is known as the object"),
        ("a.parquet", b"PAR1 nothing", "not a readable Parquet file"),
        ("a.xlsx", "", "save it as .csv"),
    ],
)
def test_broken_facts_are_refused_with_their_place(tmp_path, name, text, message):
    refused = facts_refusal(write(tmp_path / name, text))
    assert refused.startswith(str(tmp_path / name))
    assert message in refused
    assert "\n" not in refused


def test_parquet_faults_name_column_and_row(tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"subject": ["a"], "relation": ["r"]}), path)
    assert "no column is known as the object" in facts_refusal(path)
    parquet.write_table(pa.table({"subject": ["a", None], "relation": ["r", "r"], "object": ["x", "y"]}), path)
    assert 'row 2: "subject" is empty' in facts_refusal(path)


def test_absent_files_and_folders_are_refused(tmp_path):
    assert "no such file" in facts_refusal(tmp_path / "a.csv")
    (tmp_path / "b.jsonl").mkdir()
    assert "a folder" in facts_refusal(tmp_path / "b.jsonl")
    assert "no such file" in refusal(read_templates, [tmp_path / "a.toml"])


def test_template_files_merge(tmp_path, templates):
    more = jsonl(
        tmp_path / "relations.jsonl",
        {"relation": "in", "template": "[X] is located in [Y] .", "label": "country"},
        {"relation": "in", "template": "[X] is located in [Y] ."},
        {"relation": "P36", "template": "The capital of [X] is [Y] ."},
    )
    pararel = jsonl(
        tmp_path / "P36.jsonl", {"pattern": "Which capital has [X]? It is [Y]."}, {"pattern": "[Y] of [X]."}
    )
    assert read_templates([templates, more, pararel]) == {
        "in": Templates(
            "in",
            ("{subject} lies in {object}.", "{object} has {subject}.", "{subject} is located in {object}."),
            ("Where is {subject}? {object}.",),
        ),
        "P36": Templates(
            "P36",
            ("The capital of {subject} is {object}.", "{object} of {subject}."),
            ("Which capital has {subject}? It is {object}.",),
        ),
    }


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "t.toml",
            TOML.replace("questions", "question"),
            'line 2, [in]: unknown key "question"; did you mean "questions"',
        ),
        (
            "t.toml",
            TOML.replace('{object}."]\nq', '{objekt}."]\nq').replace(
                "{subject} lies in {object}", "{subjct} lies in {object}"
            ),
            'line 3, [in] statements, text 1: unknown placeholder "{subjct}"',
        ),
        (
            "t.toml",
            TOML.replace("? {object}", "?"),
            'line 4, [in] questions, text 1: "Where is {subject}?." has 0 times',
        ),
        ("t.toml", TOML.split("questions")[0], 'the relation "in" has no question template'),
        ("t.toml", '[in]\nquestions = ["{subject}? {object}"]', 'the relation "in" has no statement template'),
        ("t.toml", TOML.replace("Where is {subject}? ", "{subject} lies in "), "line 4, [in] questions, text 1"),
        ("t.toml", "[in]\nstatements = []\n", "line 1, [in]: a relation is a table"),
        ("t.toml", "in = 3\n", "[in]: a relation is a table"),
        ("t.toml", '[in]\nstatements = "one"\n', '"statements" must be a list'),
        ("t.toml", "[in\n", "broken TOML"),
        ("t.toml", b"[in]\n# \xff\n", "not UTF-8 at byte 7, in line 2"),
        ("t.jsonl", '{"template": "[X] in [Y]."}\n{"pattern": "[X] in [Z] [Y]."}', 'row 2: unknown placeholder "[Z]"'),
        ("t.jsonl", '{"template": "[X] is."}', 'row 1: "[X] is." has 0 times "[Y]"'),
        ("t.jsonl", '{"template": "[X] is [Y].", "kind": []}', 'row 1: "kind" is []; write'),
        ("t.toml", "x = " + "9" * 10_000, "broken TOML"),
        ("t.toml", "x = " + "[" * 10_000, "broken TOML"),
        ("t.toml", "#" * 1_000_001, "longer than 1,000,000 characters"),
        ("t.jsonl", '{"text": "[X] is [Y]."}', 'row 1: a template row needs a text "template"'),
        ("t.jsonl", '{"template": "Where? [Y] has [X]."}', "must name {subject} first"),
        ("t.jsonl", '{"template": "[X] in [Y]."}', 'row 1: the relation "t" has no question template'),
        ("t.yaml", "", "templates are read from .toml, .jsonl"),
    ],
)
def test_broken_templates_are_refused_with_their_place(tmp_path, name, text, message):
    refused = refusal(read_templates, [write(tmp_path / name, text)])
    assert refused.startswith(str(tmp_path / name))
    assert message in refused


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[X] is in [Y] .", "statements"),
        ("Is [X] in [Y]?", "statements"),
        ("[X] (born in St. Louis; a town) lives in [Y] .", "statements"),
        ("Where is [X]? [Y].", "questions"),
        ("[X]在哪个国家\uff1f[Y]。", "questions"),
        ("أين تقع [X]\u061f [Y].", "questions"),
        ("Πού είναι το [X]; [Y].", "questions"),
        ("Πού είναι το [X]\u037e [Y].", "questions"),
        ("Որտե\u055eղ է [X]. [Y]։", "questions"),
        ("[X] የት ነው\u1367 [Y]።", "questions"),
        ("[X]在哪里\ufe56[Y]。", "questions"),
        ("Where is [X]\u203d [Y].", "questions"),
        ("¿Dónde está [X]: [Y].", "questions"),
        ("[X] \ua6f7 [Y]", "questions"),
    ],
)
def test_a_question_mark_of_any_script_makes_a_question(tmp_path, text, kind):
    more = jsonl(tmp_path / "in.jsonl", {"template": text})
    rest = write(
        tmp_path / "rest.toml", '[in]\nstatements = ["{subject}, {object}"]\nquestions = ["{subject}: {object}"]'
    )
    assert len(getattr(read_templates([more, rest])["in"], kind)) == 2


@pytest.mark.parametrize("text", ["[X]はどこですか。[Y]。", "Capital of [X]: [Y]."])
def test_a_text_that_may_be_either_must_say_what_it_is(tmp_path, text):
    assert "may be a statement or a question" in refusal(
        read_templates, [jsonl(tmp_path / "in.jsonl", {"template": text})]
    )
    said = [{"template": text, "kind": "question"}, {"template": "[X] is in [Y].", "kind": "statement"}]
    assert read_templates([jsonl(tmp_path / "in.jsonl", *said)])["in"].statements == ("{subject} is in {object}.",)
    wrong = jsonl(tmp_path / "in.jsonl", {"template": text, "kind": "query"})
    assert '"kind" is \'query\'; write "statement" or "question"' in refusal(read_templates, [wrong])


def test_knowledge_is_cleaned_and_counted(tmp_path, templates):
    pairs = ["Lyon,France", "Lyon,France", "Oslo,Norway", "Valencia,Spain", "Valencia,Venezuela", "Mexico City,Mexico"]
    path = write(
        tmp_path / "a.csv",
        "object,subject,relation\n"
        + "".join(f"{answer},{subject},in\n" for subject, answer in (pair.split(",") for pair in pairs)),
    )
    found = load_knowledge(str(path), [templates])
    assert [fact.subject for fact in found.facts] == ["Lyon", "Oslo"]
    assert found.left_out[DUPLICATE] == 1
    assert found.left_out[AMBIGUOUS] == 2
    assert found.left_out[SHOWN] == 1
    assert set(found.templates) == {"in"}


def test_a_fact_without_templates_is_refused_with_the_nearest(tmp_path, templates):
    path = write(tmp_path / "a.csv", "subject,relation,object\nLyon,in,France\nOslo,inn,Norway\n")
    message = refusal(load_knowledge, [path], [templates])
    assert f'{path}, row 3: the relation "inn" has no templates; did you mean "in"?' in message
    assert "give a template file" in refusal(load_knowledge, [path])


def test_chosen_relations_alone_are_read(tmp_path, templates):
    path = write(tmp_path / "a.csv", "subject,relation,object\nLyon,in,France\nOslo,other,Norway\n")
    assert load_knowledge([path], [templates], ["in"]).facts == (Fact("Lyon", "in", "France"),)
    assert 'relations: "im" has no templates; did you mean "in"?' in refusal(
        load_knowledge, [path], [templates], ["im"]
    )
    assert 'relations: "in" has no templates; give a template file' in refusal(load_knowledge, [path], [], ["in"])


def test_templates_of_unused_relations_may_lack_questions(tmp_path, templates):
    path = write(tmp_path / "a.csv", "subject,relation,object\nLyon,in,France\n")
    lama = jsonl(tmp_path / "relations.jsonl", {"relation": "P1", "template": "[X] is [Y] ."})
    assert set(load_knowledge([path], [templates, lama]).templates) == {"in"}


def test_a_relation_whose_facts_are_all_unusable_is_refused(tmp_path, templates):
    path = write(tmp_path / "a.csv", "subject,relation,object\nMexico City,in,Mexico\n")
    assert 'no usable fact has the relation "in"' in refusal(load_knowledge, [path], [templates])


def test_own_facts_may_join_the_atlas(tmp_path, templates):
    path = write(tmp_path / "a.csv", "subject,relation,object\nRhine,in,Germany\n")
    found = load_knowledge(["atlas", path], [templates])
    assert Fact("Rhine", "in", "Germany") in found.facts
    assert "city-country" in found.templates


def test_no_facts_at_all_are_refused(templates):
    assert "no facts are named" in refusal(load_knowledge, [], [templates], ["in"])


def test_a_label_goes_before_an_identifier_and_a_name_stands_once(tmp_path):
    path = write(tmp_path / "f.csv", "subject,subjectLabel,relation,object,object_label\nQ90,Paris,in,Q142,France\n")
    assert [fact for _, fact in read_facts(path)] == [Fact("Paris", "in", "France")]
    path = write(tmp_path / "f.csv", "subject,relation,object,Object\nParis,in,France,Texas\n")
    assert '"object" and "Object" may both be the object' in facts_refusal(path)


def test_the_page_names_every_column_that_is_known():
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "facts.md").read_text()
    for part in PARTS:
        assert f"| `{part}` | {', '.join(f'`{name}`' for name in NAMES[part])} |" in page
