import pytest
from study_files import MINIMAL, bad_study, changed, study_folder

from clvkit.study import Study
from clvkit.study_schema import json_schema
from clvkit.study_yaml import names_a_secret


@pytest.fixture
def message(tmp_path, monkeypatch):
    return bad_study(study_folder(tmp_path, monkeypatch))


FIELD_ERRORS = [
    # the rule, the value, the nearest name, the place
    (
        MINIMAL + "cohorts:\n  grain: monht\n",
        11,
        "cohorts.grain must be one of day, week, month, quarter (got 'monht'); did you mean 'month'?",
    ),
    (MINIMAL + "cohorts:\n  grian: month\n", 11, "cohorts has no key 'grian'; did you mean 'grain'?"),
    (MINIMAL + "cohort:\n  grain: month\n", 10, "a study has no key 'cohort'; did you mean 'cohorts'?"),
    (
        MINIMAL + "silence_days: 90\n",
        10,
        "a study has no key 'silence_days'; did you mean retention.silence_days?",
    ),
    (
        MINIMAL + "sensitivity:\n  xyz: 1\n",
        11,
        "sensitivity has no key 'xyz'; its keys are change, fall, max_assumption_effect",
    ),
    (
        changed("margin: 0.3", "margin: 30"),
        8,
        "value.margin must be a fraction above 0 and at most 1 (got 30); 30 % is written 0.3",
    ),
    (changed("margin: 0.3", "margin: 0"), 8, "value.margin must be a fraction above 0 and at most 1 (got 0)"),
    (
        changed("margin: 0.3", "margin: '0.3'"),
        8,
        "value.margin must be a number (got '0.3'); write 0.3 without quotes",
    ),
    (
        changed("margin: 0.3", "margin: 30 %"),
        8,
        "value.margin must be a number (got '30 %'); write 0.3, a fraction",
    ),
    (changed("margin: 0.3", "margin: 0,3"), 8, "value.margin must be a number (got '0,3'); write 0.3"),
    (changed("margin: 0.3", "margin: yes"), 8, "value.margin must be a number (got yes)"),
    (changed("margin: 0.3", "margin:"), 8, "value.margin must be a number (got nothing)"),
    (changed("margin: 0.3", "margin: [0.3]"), 8, "value.margin must be a number (got a list)"),
    (
        changed("rate: 0.1", "rate: 10"),
        9,
        "value.annual_discount_rate must be a fraction from 0 to below 1 (got 10); 10 % is written 0.1",
    ),
    (
        changed("rate: 0.1", "rate: 1e-1"),
        9,
        "value.annual_discount_rate must be a number (got '1e-1'); write 0.1 or 1.0e-1",
    ),
    (
        changed("rate: 0.1", "rate: 2.5e2"),
        9,
        "value.annual_discount_rate must be a number (got '2.5e2'); write 250 or 2.5e+2",
    ),
    (changed("rate: 0.1", "rate: .nan"), 9, "value.annual_discount_rate must be a finite number (got .nan)"),
    (
        changed("rate: 0.1", "rate: 1.0e+999"),
        9,
        "value.annual_discount_rate must be a finite number (got 1.0e+999)",
    ),
    (MINIMAL + "days_per_year: 52\n", 10, "days_per_year must be at least 360 (got 52)"),
    (MINIMAL + "retention:\n  silence_days: 0\n", 11, "retention.silence_days must be above 0 (got 0)"),
    (
        MINIMAL + "retention:\n  silence_days: 90.0\n",
        11,
        "retention.silence_days must be a whole number (got 90.0); write 90",
    ),
    (
        MINIMAL + "retention:\n  silence_days: 1,000\n",
        11,
        "retention.silence_days must be a whole number (got '1,000'); write 1000",
    ),
    (
        MINIMAL + "retention:\n  silence_days: 0180\n",
        11,
        "retention.silence_days must be a whole number (got '0180'); write 180",
    ),
    (
        MINIMAL + "retention:\n  silence_days: 0150\n",
        11,
        "retention.silence_days is written 0150, which YAML reads as the octal number 104; "
        'write 150, or "0150" '
        "in quotes for text",
    ),
    (
        MINIMAL + "retention:\n  silence_days: 3:00\n",
        11,
        "retention.silence_days is written 3:00, which YAML reads as 180 (base sixty); "
        'write "3:00" in quotes for text',
    ),
    (
        MINIMAL + "retention:\n  silence_days: 0xB4\n",
        11,
        'retention.silence_days is written 0xB4; write 180, or "0xB4" in quotes for text',
    ),
    (MINIMAL + "retention: 180\n", 10, "retention must be a mapping of keys to values (got 180)"),
    (MINIMAL + "retention:\n", 10, "retention must be a mapping of keys to values (got nothing)"),
    (
        changed("title: Acme", "title: no"),
        2,
        'title must be text (got no); YAML reads no as false: write "no" in quotes',
    ),
    (changed("title: Acme", "title: 2024"), 2, 'title must be text (got 2024); write "2024" in quotes'),
    (
        changed("title: Acme", "title: 12:30"),
        2,
        'title is written 12:30, which YAML reads as 750 (base sixty); write "12:30" in quotes for text',
    ),
    (changed("title: Acme", "title: ''"), 2, "title must not be empty (got '')"),
    (
        changed("title: Acme", "title: !!binary aGk="),
        2,
        "title has the tag !!binary; a study holds plain values only",
    ),
    (
        changed("margin: 0.3", "margin: !!float '0.3'"),
        8,
        "value.margin has the tag !!float; a study holds plain values only",
    ),
    (
        changed("margin: 0.3", "margin: !!float most of it"),
        8,
        "value.margin has the tag !!float; a study holds plain values only",
    ),
    (changed("margin: 0.3", "margin: 0b_"), 8, "value.margin must be a number (got '0b_')"),
    (changed("margin: 0.3", "margin: !!str 0.3"), 8, "value.margin must be a number (got '0.3'); write 0.3"),
    (
        changed("title: Acme", "title: !env ACME"),
        2,
        "title has the tag !env; a study holds plain values only",
    ),
    (
        changed("title: Acme", 'title: "\\ud800"'),
        2,
        "title holds half a character (a lone surrogate); delete it",
    ),
    (
        changed("name: acme", "name: Acme & Co"),
        1,
        "name must be made of small letters, digits, - and _ (got 'Acme & Co'); did you mean 'acme_co'?",
    ),
    (
        changed("USD", "usd"),
        3,
        "currency must be an ISO 4217 code such as USD, EUR or GBP (got 'usd'); did you mean 'USD'?",
    ),
    (
        changed("USD", "€"),
        3,
        "currency must be an ISO 4217 code such as USD, EUR or GBP (got '€'); did you mean 'EUR'?",
    ),
    (changed("USD", "no"), 3, 'currency must be text (got no); YAML reads no as false: write "no" in quotes'),
    (
        changed("1998-06-30", "30/06/1998"),
        4,
        "as_of must be a day written as 1998-06-30 (got '30/06/1998'); write 1998-06-30",
    ),
    (changed("1998-06-30", "05/06/1998"), 4, "as_of must be a day written as 1998-06-30 (got '05/06/1998')"),
    (
        changed("1998-06-30", "1998-6-3"),
        4,
        "as_of must be a day written as 1998-06-30 (got '1998-6-3'); write 1998-06-03",
    ),
    (
        changed("1998-06-30", "19980630"),
        4,
        "as_of must be a day written as 1998-06-30 (got 19980630); write 1998-06-30",
    ),
    (
        changed("1998-06-30", "1998-06-31"),
        4,
        "as_of must be a day written as 1998-06-30 (got '1998-06-31'); no calendar has that day",
    ),
    (
        changed("1998-06-30", "1998-06-30 12:00:00"),
        4,
        "as_of must be a day written as 1998-06-30 (got '1998-06-30 12:00:00'); write 1998-06-30",
    ),
    (changed("1998-06-30", '"884822400"'), 4, "as_of must be a day written as 1998-06-30 (got '884822400')"),
    (
        changed("path: sales.csv", "path: sales.csv\n  decimal: ','\n  thousands: ','"),
        5,
        "ledger thousands and decimal must differ (both are ',')",
    ),
    (
        changed("path: sales.csv", "path: sales.csv\n  control_total: 2,500.10"),
        7,
        "ledger.control_total must be a number (got '2,500.10'); write 2500.10",
    ),
    (
        changed("path: sales.csv", "path: sales.csv\n  max_quarantined_share: 5"),
        7,
        "ledger.max_quarantined_share must be at most 1 (got 5); 5 % is written 0.05",
    ),
    (
        changed("path: sales.csv", "path: sales.csv\n  extracted: 1998-06-01"),
        7,
        "ledger.extracted must not be before the as-of date 1998-06-30 (got '1998-06-01'); days "
        "without data would be "
        "read as customers falling silent",
    ),
    (
        MINIMAL + "models:\n  processes: [bgnbd, paretnbd]\n",
        11,
        "models.processes[1] must be one of bgnbd, mbgnbd, paretonbd, mbgcnbd, bgbb (got 'paretnbd'); did you mean "
        "'paretonbd'?",
    ),
    (
        MINIMAL + "models:\n  processes: paretonbd\n",
        11,
        "models.processes must be a list, such as [a, b] (got 'paretonbd'); write [paretonbd]",
    ),
    (
        MINIMAL + "models:\n  headline: bgnbd\n  processes: [paretonbd]\n",
        11,
        "models.headline must be one of the processes fitted: paretonbd (got 'bgnbd')",
    ),
    (
        MINIMAL + "models:\n  priors: {bgnbdd: {r: {mean: 0, sd: 1}}}\n",
        11,
        "models.priors has no entry 'bgnbdd'; did you mean 'bgnbd'?",
    ),
    (
        MINIMAL + "models:\n  priors:\n    bgnbd:\n      r: {mean: 0, sd: 0}\n",
        13,
        "models.priors.bgnbd.r.sd must be above 0 (got 0)",
    ),
    (
        MINIMAL + "models:\n  priors:\n    bgnbd:\n      r: {mean: 0, std: 1, sd: 1}\n",
        13,
        "models.priors.bgnbd.r has no key 'std'; did you mean 'sd'?",
    ),
    (
        MINIMAL + "backtest:\n  origins: [1997-09-30, 1997-06-30]\n",
        11,
        "backtest.origins[1] must come after the origin before it (1997-09-30) (got '1997-06-30'); "
        "list the dates from earliest to latest, each once",
    ),
    (
        MINIMAL + "backtest:\n  origins:\n    - 1997-09-30\n    - 1998-06-30\n",
        13,
        "backtest.origins[1] must be before the as-of date 1998-06-30 (got '1998-06-30'); "
        "a back-test compares a forecast with what happened since",
    ),
    (
        MINIMAL + "backtest:\n  origins: [1997-09-30]\n  horizon_days: 365\n",
        12,
        "backtest.horizon_days must end by the as-of date 1998-06-30; from 1997-09-30 it ends on "
        "1998-09-30 (got 365); "
        "give at most 273, or null to forecast to the as-of date",
    ),
    # what cannot be told from a value
    (changed("title: Acme", "name: acme"), 2, "name is given twice (first on line 1); keep one"),
    (changed("title: Acme", "title: Acme\n? [a, b]\n: 1"), 3, "a key of the study is a list; keys are words"),
    (MINIMAL + "<<: {title: b}\n", 10, "'<<' is not read in a study; write the keys out, or use extends"),
    (
        changed("path: sales.csv", "path: sales.csv\n  api_key: abc123"),
        7,
        "ledger.api_key holds a secret, and studies are copied into every run; keep it in an "
        "environment variable and "
        "write api_key_env: NAME_OF_THE_VARIABLE",
    ),
    (
        changed("sales.csv", "postgresql://me:hunter2@host/sales"),
        6,
        "ledger.path holds a secret, and studies are copied into every run; keep the password in an "
        "environment "
        "variable and name the variable instead",
    ),
]


class TestFieldErrors:
    @pytest.mark.parametrize(
        ("text", "line", "said"), FIELD_ERRORS, ids=[said[:60] for _, _, said in FIELD_ERRORS]
    )
    def test_one_error(self, message, text, line, said):
        found = message(text)
        if "name is given twice" in said:  # the title gave way to the second name
            assert (
                f"1. title is missing: Name of the study as readers see it\n     where: bad.yml\n  2. {said}"
                in found
            )
            assert found.endswith("where: bad.yml: line 2")
        else:
            assert found == f"{said}\n  where: bad.yml: line {line}"

    def test_missing_values_are_described(self, message):
        assert message(changed("  margin: 0.3\n", "")) == (
            "value.margin is missing: Contribution margin as a fraction of the amounts in the "
            "ledger: 0.30 is 30 %\n"
            "  where: bad.yml: line 7"
        )

    def test_all_errors_are_reported_together_in_the_order_of_the_file(self, message):
        assert message("title: Acme\ncurrency: EURO\nas_of: soon\ncohorts: {grain: monht}\npasword: x\n") == (
            "the study has 7 errors\n"
            "  1. name is missing: Short name of the study and of the folder its runs go to: small "
            "letters, digits, "
            "- and _\n"
            "     where: bad.yml\n"
            "  2. ledger is missing: it needs at least path\n"
            "     where: bad.yml\n"
            "  3. value is missing: it needs at least margin, annual_discount_rate\n"
            "     where: bad.yml\n"
            "  4. currency must be an ISO 4217 code such as USD, EUR or GBP (got 'EURO'); did you "
            "mean 'EUR'?\n"
            "     where: bad.yml: line 2\n"
            "  5. as_of must be a day written as 1998-06-30 (got 'soon')\n"
            "     where: bad.yml: line 3\n"
            "  6. cohorts.grain must be one of day, week, month, quarter (got 'monht'); did you mean "
            "'month'?\n"
            "     where: bad.yml: line 4\n"
            "  7. a study has no key 'pasword'; its keys are "
            f"{', '.join(Study.model_fields)}\n"
            "     where: bad.yml: line 5"
        )

    def test_a_default_that_no_longer_fits_is_named_as_one(self, message):
        assert message(MINIMAL + "models:\n  processes: [bgnbd]\n") == (
            "the study has 2 errors\n"
            "  1. models.headline must be one of the processes fitted: bgnbd (got 'paretonbd', the default)\n"
            "     where: bad.yml: line 10\n"
            "  2. models.sampled[0] must be one of the processes fitted (bgnbd) or gammagamma (got "
            "'paretonbd', "
            "the default); add paretonbd to models.processes\n"
            "     where: bad.yml: line 10"
        )

    def test_secrets_are_never_repeated(self, message):
        assert "hunter2" not in message(
            MINIMAL + "warehouse:\n  Password: hunter2\n  url: x://me:hunter2@host\n"
        )

    @pytest.mark.parametrize(
        "name", ["password", "dbPassword", "api_key", "API-KEY", "dsn", "access_token", "secret"]
    )
    def test_keys_that_look_like_secrets(self, name):
        assert names_a_secret(name)

    @pytest.mark.parametrize(
        "name", ["password_env", "dsn_env", "customer_key", "key", "tokens_used", "path", "secretary"]
    )
    def test_keys_that_do_not(self, name):
        assert not names_a_secret(name)

    def test_no_key_of_a_study_looks_like_a_secret(self):
        def keys(part):
            for name, value in part.get("properties", {}).items():
                yield name
                yield from keys(value)

        schema = json_schema()
        assert not [
            name
            for part in (schema, *schema["$defs"].values())
            for name in keys(part)
            if names_a_secret(name)
        ]
