"""Study files: the template is valid, misspelt keys are named with the nearest known one."""

from pathlib import Path

import pytest

from infusionlaw.errors import InputError
from infusionlaw.report.power import study_power
from infusionlaw.settings import StudyFile, read_study_file, write_template

SIZES, TOKENS = 'sizes = ["14k", "28k", "55k"]', 'tokens = ["1.5M"]'


@pytest.fixture
def study(tmp_path):
    return write_template(tmp_path / "mine.toml")


def test_the_template_is_a_valid_study(study) -> None:
    file = read_study_file(study)
    assert file.name == "mine"
    assert file.unit == "share"
    assert file.base == study.parent.resolve()
    assert "#" in study.read_text()


def test_an_existing_file_is_never_overwritten(study) -> None:
    with pytest.raises(InputError, match="exists already"):
        write_template(study)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('sizes = ["14k', 'sizs = ["14k', 'unknown key "sizs" in [design]; did you mean "sizes"?'),
        ("[held_out]", "[heldout]", 'unknown key "heldout" at the top; did you mean "held_out"?'),
        ("tolerance =", "tolerence =", 'unknown key "tolerence" in [law]; did you mean "tolerance"?'),
        ("seeds = [1, 2, 3, 4, 5, 6]", "exposures = [3]", "give the doses as shares or as exposures"),
        ("once = []", "once = [1.0]", "a dose of once is a share of 1 or more"),
        ("block = 128", 'block = "x"', "\"training.block\" is 'x'"),
        ("shares = [0.1", "shares = [1.0", '"design.shares.0" is 1.0: input should be less than 1'),
        (SIZES, "sizes = 14_000", "should be a list, such as [1, 2]"),
        (TOKENS, "", '[design]: give either tokens, such as ["1.5M"], or tokens_per_parameter, such as 20'),
        (TOKENS, f"{TOKENS}\ntokens_per_parameter = 20", "[design]: give either tokens"),
        ("[law]", "[law", "not valid TOML"),
        ("tolerance = 0.2", "tolerance = inf", '"law.tolerance" is inf'),
        ("tolerance = 0.2", "tolerance = " + "9" * 10_000, "not valid TOML"),
        ("tolerance = 0.2", "tolerance = " + "[" * 10_000, "not valid TOML"),
        ('name = "mine"', 'extends = "a\\u0000b"', '"extends" is '),
        ('name = "mine"', "name." + "a." * 1500 + "a = 1", '"name" is {'),
        (SIZES, "sizes = []", '"design.sizes" is empty; give at least one'),
        ("seeds = [1, 2, 3, 4, 5, 6]", "seeds = []", '"design.seeds" is empty'),
        (
            "seeds = [1, 2, 3, 4, 5, 6]",
            "seeds = [-1]",
            '"design.seeds.0" is -1: input should be greater than or equal to 0',
        ),
        (
            "shares = [0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.88, 0.93, 0.97, 0.99]",
            "shares = [0.0]",
            "no dose is above 0; add one",
        ),
        ('name = "mine"', 'name = ""', '"name" is empty'),
        (
            'recipe = "2026-11"',
            "recipe = 1",
            'recipe 1 cannot be trained; write recipe = "2026-11" (runs made with an older',
        ),
        ("block = 128", "weight_decay = inf", '"training.weight_decay" is inf: input should be a finite number'),
        ("tolerance = 0.2", "tolerance = nan", '"law.tolerance" is nan: input should be'),
        (TOKENS, "tokens = [inf]", '"design.tokens.0" is inf: input should be a finite number'),
        (SIZES, "sizes = [1e400]", '"design.sizes.0" is inf: input should be a finite number'),
        ("seed = 0", f"seed = {2**70}", f'"seed" is {2**70}: input should be less than or equal to'),
        ("seeds = [1, 2, 3, 4, 5, 6]", f"seeds = [1, {2**70}]", '"design.seeds.1" is'),
        ("[law]", "[law]\ndraws = 1_000_000_000_000", '"law.draws" is 1000000000000: input should be less than'),
        ("block = 128", "block = 1_000_000_000", '"training.block" is 1000000000: input should be less than'),
        ("domain = 32", "domain = 1e30", '"facts.domain" is 1e+30'),
        ("seed = 0", f"seed = {'9' * 5000}", "not valid TOML"),
        ("seed = 0", f"seed = {'[' * 100_000}", "not valid TOML"),
        (TOKENS, "tokens = [200.000]", '[design.tokens.0]: 200.0 is below 1,000; write "200k" or "200M"'),
        (TOKENS, 'tokens = ["200.000"]', "[design.tokens.0]: '200.000' may have decimals or thousands; write 200_000"),
        (TOKENS, 'tokens = ["1.500.000"]', "'1.500.000' may have decimals or thousands; write 1_500_000 in full"),
        (SIZES, "sizes = [14]", '[design.sizes.0]: 14 is below 1,000; write "14k" or "14M"'),
        ('sizes = ["110k"]', "sizes = [110]", '[held_out.sizes.0]: 110 is below 1,000; write "110k" or "110M"'),
        ('recipe = "2026-11"', 'recipe = "x"', "[training.recipe]: recipe 'x' cannot be trained"),
    ],
)
def test_a_mistake_is_one_sentence(study, old, new, message) -> None:
    study.write_text(study.read_text().replace(old, new, 1))
    with pytest.raises(InputError) as error:
        read_study_file(study)
    assert message in str(error.value)
    assert "mine.toml" in str(error.value)


def test_a_search_has_no_doses_of_once(study) -> None:
    text = study.read_text().replace('design = "grid"', 'design = "search"').replace("once = []", "once = [0.01]")
    study.write_text(text)
    with pytest.raises(InputError, match="a search chooses its doses itself; take once out"):
        read_study_file(study)


def test_a_missing_file_says_how_to_make_one(tmp_path) -> None:
    with pytest.raises(InputError, match="infusionlaw init"):
        read_study_file(tmp_path / "none.toml")


def test_settings_are_frozen(study) -> None:
    with pytest.raises(ValueError, match="frozen"):
        read_study_file(study).name = "other"  # type: ignore[misc]


def test_numbers_are_read_as_people_write_them(study) -> None:
    text = study.read_text().replace(SIZES, 'sizes = ["14k", 28e3, "0.055M"]')
    text = text.replace(TOKENS, 'tokens = ["1.5M"]').replace("[0.1, 0.2", '["10%", 0.2')
    study.write_text(text.replace("max_exposures = 5000", 'max_exposures = "5k"'))
    file = read_study_file(study)
    assert file.design.sizes == (14_000, 28_000, 55_000) and file.design.tokens == (1_500_000,)
    assert file.design.shares[0] == 0.1 and file.infusion.max_exposures == 5000


@pytest.mark.slow
def test_the_template_passes_its_own_power_check(study) -> None:
    assert study_power(read_study_file(study)).warnings == ()


def write(path, text: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_file_that_extends_another_has_its_settings_and_its_own_values_where_it_gives_any(study, tmp_path) -> None:
    family = write(tmp_path / "family.toml", 'extends = "mine.toml"\n[training]\nweight_decay = 0.3\nblock = 64\n')
    own = "[design]\nsizes = [20_000]\n[training]\nblock = 256\n"
    file = read_study_file(write(tmp_path / "own" / "study.toml", f'extends = "../family.toml"\nname = "own"\n{own}'))
    base = read_study_file(study)
    assert read_study_file(family).training.block == 64
    assert (file.name, file.design.sizes, file.training.block, file.training.weight_decay) == (
        "own",
        (20_000,),
        256,
        0.3,
    )
    assert (file.design.shares, file.facts, file.held_out) == (base.design.shares, base.facts, base.held_out)
    assert file.base == tmp_path / "own"


def test_files_that_extend_each_other_are_refused(tmp_path) -> None:
    write(tmp_path / "one.toml", 'extends = "two.toml"')
    two = write(tmp_path / "two.toml", 'extends = "one.toml"')
    with pytest.raises(InputError, match=r"one\.toml: extends .*two\.toml, which extends it in turn"):
        read_study_file(two)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('extends = "none.toml"', r"mine\.toml: extends .*none\.toml, which is not there"),
        ("extends = 3", r'mine\.toml: "extends" is 3; give the path of one study file'),
        ('extend = "base.toml"', r'unknown key "extend" at the top; did you mean "extends"'),
    ],
)
def test_a_mistake_in_what_is_extended_is_one_sentence(study, line, message) -> None:
    study.write_text(f"{line}\n{study.read_text()}")
    with pytest.raises(InputError, match=message):
        read_study_file(study)


@pytest.mark.parametrize("name", ['my "best" study', "a\\b", "größe", "tab\there"])
def test_the_template_takes_any_name(tmp_path, name) -> None:
    assert read_study_file(write_template(tmp_path / f"{name}.toml")).name == name


def test_a_name_that_is_no_text_makes_a_study_file_too(tmp_path) -> None:
    assert read_study_file(write_template(tmp_path / "a\udc80.toml")).name == "a?"


def test_a_byte_order_mark_is_no_part_of_a_study_file(tmp_path) -> None:
    path = write_template(tmp_path / "mine.toml")
    text = path.read_text()
    for marks in ("\ufeff", "\ufeff\ufeff"):
        path.write_text(marks + text)
        assert read_study_file(path).name == "mine"
    path.write_bytes(text.encode("utf-16"))
    with pytest.raises(InputError, match="not UTF-8"):
        read_study_file(path)


def test_token_counts_may_be_called_budgets(tmp_path) -> None:
    path = write_template(tmp_path / "mine.toml")
    path.write_text(path.read_text().replace("\ntokens = ", "\nbudgets = "))
    assert read_study_file(path).design.tokens == (1_500_000,)


def test_a_study_file_of_documents_questions_and_sources_is_read_back_as_it_was_written(tmp_path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(
        'name = "s"\n[domain]\ndocuments = "d"\n[questions.q]\nfile = "q.jsonl"\nrole = "domain"\n'
        '[text.sources.web]\nfiles = "w"\n[text.sources.code]\nfiles = ["c"]\nvalidation = 0\n'
        '[design]\nsizes = ["14k"]\ntokens = ["1M"]\nshares = [0.1]\n'
    )
    file = read_study_file(path)
    assert StudyFile.model_validate(file.model_dump(mode="json")) == file.model_copy(update={"base": Path()})
    path.write_text(path.read_text().replace("[text.sources.web]", '[text]\nsource = "x"\n[text.sources.web]'))
    with pytest.raises(InputError, match=r"\[text\]: give either source, or"):
        read_study_file(path)
