"""The study: one business's data, model, money and governance choices, read from YAML and validated."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr, ValidationError, ValidationInfo, field_validator

from clvkit.acquisition_section import AcquisitionSection, require_written
from clvkit.backtest import BacktestSection
from clvkit.calendar_section import KNOW_A_CLOCK, CalendarSection
from clvkit.challenger_section import ChallengerSection, require_challenger
from clvkit.cohort_keys import require_keys
from clvkit.cohorts import CohortsSection
from clvkit.contracts_section import BusinessModel, ContractsSection, require_contracts
from clvkit.errors import StudyError
from clvkit.ledger.section import LedgerSection
from clvkit.migration import MigrationSection
from clvkit.models_section import ModelsSection
from clvkit.opportunities import DAYS
from clvkit.privacy import PrivacySection
from clvkit.promotions import PromotionsSection
from clvkit.publish.section import ReportSection
from clvkit.retention import RetentionSection
from clvkit.rules import RuleBroken, did_you_mean
from clvkit.section import Section
from clvkit.sensitivity import SensitivitySection
from clvkit.study_document import Document, Key, Mark, Problem, nested, relative_paths, shown
from clvkit.study_layers import not_allowed
from clvkit.study_messages import InvalidStudy, broken_rule, odd_days
from clvkit.study_yaml import read_file, read_value
from clvkit.sufficiency import SufficiencySection
from clvkit.value import ValueSection

_CURRENCY_SIGNS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR"}


class Study(Section):
    """A validated study. Build one with :func:`load_study`.

    Two studies are equal when their values are, wherever they were written. Paths in a study are relative
    to ``base``, the folder of its file.
    """

    name: str = Field(
        description=(
            "Short name of the study and of the folder its runs go to: small letters, digits, - and _."
        )
    )
    title: str = Field(min_length=1, description="Name of the study as readers see it.")
    description: str = Field("", description="What the study covers and what it does not.")
    currency: str = Field(description="ISO 4217 code of the currency that the amounts are in, such as USD.")
    as_of: date = Field(
        description=("Day the study looks from: purchases up to its end are known, later ones are held out.")
    )
    days_per_year: float = Field(
        365.25,
        ge=360,
        le=366,
        description=(
            "Length of the year that annual rates and the horizon are converted with; 364 is 52 weeks. "
            "Unit: days."
        ),
    )
    owner: str | None = Field(None, description="Who answers for the study: a person or a role.")
    preparer: str | None = Field(None, description="Who prepares its reports: a person or a role.")
    overridable: tuple[str, ...] | None = Field(
        None,
        description=(
            "What studies that extend this one may set, as dotted keys such as ledger or value.margin; null: anything. Their "
            "name, title and description are their own in any case."
        ),
    )
    ledger: LedgerSection = Field(description="Where the purchases lie and how they are read.")
    privacy: PrivacySection = Field(
        default_factory=PrivacySection,
        description=("What may not be read, how long tables are kept, and whom they were given to."),
    )
    sufficiency: SufficiencySection = Field(
        default_factory=SufficiencySection,
        description=("The least data that must be there before anything is fitted."),
    )
    cohorts: CohortsSection = Field(
        default_factory=CohortsSection,
        description=("How customers are grouped by the date of their first purchase."),
    )
    business_model: BusinessModel = Field(
        "auto",
        description=(
            "Whether customers are seen to leave: contractual, non_contractual, hybrid (contracts, and purchases besides); "
            "auto: what the data say."
        ),
    )
    contracts: ContractsSection = Field(
        default_factory=ContractsSection, description="Where contracts stand, and when they can be left."
    )
    retention: RetentionSection = Field(
        default_factory=RetentionSection, description=("When a silent customer is counted as lost.")
    )
    promotions: PromotionsSection = Field(
        default_factory=PromotionsSection, description="Promotions and list prices of the past."
    )
    migration: MigrationSection = Field(
        default_factory=MigrationSection, description="How customers who moved between channels are told."
    )
    models: ModelsSection = Field(
        default_factory=ModelsSection, description=("Which purchase processes are fitted, and how.")
    )
    calendar: CalendarSection = Field(
        default_factory=CalendarSection,
        description=(
            "Windows of days unlike others, and a season: what acts on everybody's purchases at once."
        ),
    )
    value: ValueSection = Field(description="What turns expected purchases into money.")
    backtest: BacktestSection = Field(
        default_factory=BacktestSection, description=("The earlier dates that the models are tried from.")
    )
    challenger: ChallengerSection = Field(
        default_factory=ChallengerSection,
        description="Machine learning beside the purchase processes, and new variables on trial.",
    )
    acquisition: AcquisitionSection = Field(
        default_factory=AcquisitionSection,
        description="Which channels won the customers, and where the spend on them stands.",
    )
    sensitivity: SensitivitySection = Field(
        default_factory=SensitivitySection, description=("How far each driver is moved.")
    )
    report: ReportSection = Field(
        default_factory=ReportSection, description=("What the published report says about itself.")
    )

    _source: str | None = PrivateAttr(None)
    _base: Path = PrivateAttr(default_factory=Path.cwd)
    _marks: dict[Key, Mark] = PrivateAttr(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _folder_name(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9_-]+", value):
            close = re.sub(r"[^a-z0-9_-]+", "_", value.lower()).strip("_")
            raise RuleBroken(
                "must be made of small letters, digits, - and _", f"did you mean {close!r}?" if close else ""
            )
        return value

    @field_validator("currency")
    @classmethod
    def _known_currency(cls, value: str) -> str:
        from babel.numbers import list_currencies

        known = list_currencies()
        if value not in known:
            sign = _CURRENCY_SIGNS.get(value)
            raise RuleBroken(
                "must be an ISO 4217 code such as USD, EUR or GBP",
                f"did you mean {sign!r}?" if sign else did_you_mean(value, sorted(known)),
            )
        return value

    @field_validator("ledger")
    @classmethod
    def _extracted_late_enough(cls, value: LedgerSection, info: ValidationInfo) -> LedgerSection:
        as_of = info.data.get("as_of")
        if as_of and value.extracted and value.extracted < as_of:
            raise RuleBroken(
                f"must not be before the as-of date {as_of}",
                "days without data would be read as customers falling silent",
                at="extracted",
            )
        return value

    @field_validator("ledger")
    @classmethod
    def _responses_are_written_somewhere(cls, value: LedgerSection) -> LedgerSection:
        rule, known = value.inclusion.min_survey_response, _written_of_customers(value)
        if rule is not None and rule.about not in known:
            raise RuleBroken(
                f"names {rule.about!r}, which no customers table has",
                did_you_mean(rule.about, known)
                or "describe a source that holds customers, with accounts and about",
                at=("inclusion", "min_survey_response", "about"),
            )
        return value

    @field_validator("cohorts")
    @classmethod
    def _keys_are_known(cls, value: CohortsSection, info: ValidationInfo) -> CohortsSection:
        if ledger := info.data.get("ledger"):
            written = _written_of_customers(ledger)
            require_keys(value.schemes, value.tiers, written)
            for place, name in enumerate(value.flags):
                if name not in written:
                    raise RuleBroken(
                        f"names {name!r}, which no customers table has",
                        did_you_mean(name, written) or "describe it under about of a customers table",
                        at=("flags", place),
                    )
        return value

    @field_validator("contracts")
    @classmethod
    def _contracts_are_there(cls, value: ContractsSection, info: ValidationInfo) -> ContractsSection:
        if info.data.get("business_model") == "contractual" and value.source is None:
            raise RuleBroken(
                "must name the source of contracts where business_model is contractual",
                "describe one that holds contracts under ledger.sources, or let business_model be auto",
                at="source",
            )
        if ledger := info.data.get("ledger"):
            require_contracts(value, ledger)
        return value

    @field_validator("acquisition")
    @classmethod
    def _channels_are_written_somewhere(
        cls, value: AcquisitionSection, info: ValidationInfo
    ) -> AcquisitionSection:
        if ledger := info.data.get("ledger"):
            require_written(value, ledger, _written_of_customers(ledger))
        cohorts = info.data.get("cohorts")
        if value.by is None and cohorts and any("channel" in keys for keys in cohorts.schemes.values()):
            raise RuleBroken(
                "must be given where cohorts.by goes by channel",
                "or use source there, that of the first order, or a name of a customers table",
                at="by",
            )
        return value

    @field_validator("challenger")
    @classmethod
    def _features_are_written_somewhere(
        cls, value: ChallengerSection, info: ValidationInfo
    ) -> ChallengerSection:
        if ledger := info.data.get("ledger"):
            require_challenger(value, _written_of_customers(ledger))
        return value

    @field_validator("calendar")
    @classmethod
    def _processes_know_a_clock(cls, value: CalendarSection, info: ValidationInfo) -> CalendarSection:
        models = info.data.get("models")
        if models is None or not value.acts:
            return value
        strange = [name for name in models.processes if name not in KNOW_A_CLOCK]
        if strange:
            raise RuleBroken(
                f"cannot act on purchases where models.processes has {strange[0]}, which knows no clock",
                f"leave {strange[0]} out, or let season be none and every window be ignored",
            )
        if models.opportunity:
            raise RuleBroken(
                f"cannot act on purchases that are counted by {models.opportunity} (models.opportunity)",
                "let season be none and every window be ignored, or let models.opportunity be null",
            )
        if models.left_truncation.treatment == "acquired":
            raise RuleBroken(
                "cannot act on purchases where models.left_truncation.treatment is acquired",
                "let season be none and every window be ignored, or use burn_in",
            )
        return value

    @field_validator("models")
    @classmethod
    def _segments_are_written_somewhere(cls, value: ModelsSection, info: ValidationInfo) -> ModelsSection:
        ledger, name = info.data.get("ledger"), value.segment_by
        if ledger is not None and name is not None and name not in (known := _written_of_customers(ledger)):
            raise RuleBroken(
                f"names {name!r}, which no customers table has",
                did_you_mean(name, known)
                or "describe a source that holds customers, with accounts and about",
                at="segment_by",
            )
        return value

    @field_validator("models")
    @classmethod
    def _covariates_are_written_somewhere(cls, value: ModelsSection, info: ValidationInfo) -> ModelsSection:
        ledger = info.data.get("ledger")
        if ledger is None or value.covariates.use == "ignore":
            return value
        known = _written_of_customers(ledger)
        for name in value.covariates.of:
            if name not in known:
                raise RuleBroken(
                    f"names {name!r}, which no customers table has",
                    did_you_mean(name, known)
                    or "describe a source that holds customers, with accounts and about: {name: column}"
                    + (f"; known are {', '.join(known)}" if known else ""),
                    at=("covariates", "of", name),
                )
        return value

    @field_validator("value")
    @classmethod
    def _horizon_holds_an_opportunity(cls, value: ValueSection, info: ValidationInfo) -> ValueSection:
        models = info.data.get("models")
        if models is None or models.headline != "bgbb" or not models.opportunity:
            return value
        months = 12 * DAYS[models.opportunity] / DAYS["year"]
        if value.horizon_months < months:
            raise RuleBroken(
                f"must hold at least one opportunity, a {models.opportunity} (models.opportunity)",
                f"give at least {months:.3g}; within less, BG/BB lets nobody buy",
                at="horizon_months",
            )
        return value

    @field_validator("backtest")
    @classmethod
    def _origins_leave_room(cls, value: BacktestSection, info: ValidationInfo) -> BacktestSection:
        as_of = info.data.get("as_of")
        for place, origin in enumerate(value.origins if as_of else ()):
            room = (as_of - origin).days
            if room <= 0:
                raise RuleBroken(
                    f"must be before the as-of date {as_of}",
                    "a back-test compares a forecast with what happened since",
                    at=("origins", place),
                )
            if value.horizon_days and value.horizon_days > room:
                end = origin + timedelta(days=value.horizon_days)
                raise RuleBroken(
                    f"must end by the as-of date {as_of}; from {origin} it ends on {end}",
                    f"give at most {room}, or null to forecast to the as-of date",
                    at="horizon_days",
                )
        return value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Study) and self.resolved() == other.resolved()

    def __hash__(self) -> int:
        return hash(self.fingerprint())

    @property
    def source_path(self) -> str | None:
        """The study's file as messages show it; None when it was not read from a file."""
        return self._source

    @property
    def base(self) -> Path:
        """The folder that paths in the study are relative to."""
        return self._base

    def where(self, key: str) -> str:
        """Where a value was given: ``params/acme.yml: line 14``, or that it is a default."""
        steps = tuple(int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", key))
        if steps in self._marks:
            return str(self._marks[steps])
        return f"{self._source or 'the study'}: not given, the default"

    def resolved(self) -> dict[str, Any]:
        """The whole study as plain JSON, defaults included and ``extends`` followed; no absolute path."""
        return self.model_dump(mode="json")

    def fingerprint(self) -> str:
        """SHA-256 of the resolved study as canonical JSON."""
        text = json.dumps(self.resolved(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def _written_of_customers(ledger: LedgerSection) -> list[str]:
    """The names of what customers tables say of customers: `about`, and the fields region and segment."""
    tables = [one for one in ledger.by_name().values() if one.holds == "customers" and one.accounts]
    return sorted(
        {name for one in tables for name in (*one.about, *({"region", "segment"} & set(one.fields)))}
    )


def load_study(
    path: str | os.PathLike[str], overrides: Mapping[str, str] | None = None, as_of: date | str | None = None
) -> Study:
    """Read, complete and validate a study.

    Parameters
    ----------
    path : the study's YAML file. Its ``extends`` names another file, relative to it, whose values it
        inherits: mappings merge key by key, lists and single values replace. Where that file says what is
        ``overridable``, nothing else may be set.
    overrides : values that replace the file's, by dotted key, written as in YAML:
        ``{"value.margin": "0.4"}``. A path among them is relative to the current folder. What is not ``overridable`` for
        the file is not for them.
    as_of : the as-of date that replaces the file's.

    Raises
    ------
    StudyError : everything that is wrong with the study in one message, each with file, line, rule and value.
    """
    path = Path(path)
    base = Path(os.path.abspath(path)).parent
    document = _read_chain(path, base, ())
    above = _extended(path, base) if overrides else None
    for key, text in (overrides or {}).items():
        given = _override(key, text, base)
        problems = not_allowed(given, *above) if above else []
        document = given.over(document)
        document.problems += problems
    if as_of is not None:
        given = Document({"as_of": str(as_of)}, {("as_of",): Mark("the as-of date given")})
        document = given.over(document)
    return _validated(document, base, shown(path))


def study_from_resolved(
    resolved: Mapping[str, Any], base: str | os.PathLike[str] = ".", source: str = "the resolved study"
) -> Study:
    """Rebuild a study from :meth:`Study.resolved` and validate it again.

    ``base`` is the folder that its paths start from, ``source`` what messages call the place of its values.
    """
    return _validated(Document(dict(resolved)), Path(os.path.abspath(base)), source)


def with_values(study: Study, values: Mapping[str, Any]) -> Study:
    """The study with some values replaced, validated again.

    Parameters
    ----------
    study : where the other values come from.
    values : ``{section: {field: value}}``, or ``{field: value}`` for the study's own fields, as a notebook's
        parameters give them. None means "as the study says"; a path is relative to the study's folder.

    Raises
    ------
    StudyError : names the notebook parameters that are wrong.
    """
    given = Document()
    for key, value in _leaves(values, ()):
        given.marks[key] = Mark(f"notebook parameter {key[-1]}")
        given = Document(nested(key, value), given.marks).over(Document(given.values))
    given.values = relative_paths(given.values, study.base, study.base)
    below = Document(study.resolved(), dict(study._marks))
    return _validated(given.over(below), study.base, study._source)


def _leaves(values: Mapping[str, Any], key: Key) -> Iterator[tuple[Key, Any]]:
    """Every value that is not None with its key, as plain JSON."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*key, str(name)))
        elif value is not None:
            yield (*key, str(name)), json.loads(json.dumps(value, default=_plain))


def _plain(value: object) -> object:
    """Numbers of NumPy as numbers, dates and paths as text."""
    return value.item() if hasattr(value, "item") else str(value)


def _read_chain(path: Path, base: Path, children: tuple[Path, ...]) -> Document:
    """The file laid over those that it extends, with all paths relative to ``base``."""
    document = read_file(path)
    document.values = relative_paths(document.values, Path(os.path.abspath(path)).parent, base)
    mark = document.marks.get(("extends",))
    parent = document.values.pop("extends", None)
    chain = (*children, path)
    if mark is None or parent is None:
        return document
    if not isinstance(parent, str) or not parent.strip():
        raise StudyError("extends must be the name of another study file, such as cdnow.yml", place=str(mark))
    above = Path(os.path.normpath(path.parent / parent))
    if os.path.abspath(above) in [os.path.abspath(known) for known in chain]:
        circle = " -> ".join(shown(known) for known in (*chain, above))
        raise StudyError(f"studies must not extend each other in a circle ({circle})", place=str(mark))
    if "name" not in document.values and not any(problem.key == ("name",) for problem in document.problems):
        document.problems.append(
            Problem(
                "name is missing: a study that extends another has a name of its own, for its runs",
                ("name",),
                Mark(shown(path)),
            )
        )
    try:
        below = _read_chain(above, base, chain)
        document.problems += not_allowed(document, below, shown(above))
        return document.over(below)
    except StudyError as error:
        if not above.exists():
            raise StudyError(
                f"extends names a study that does not exist (got {parent!r})", place=str(mark), fix=error.fix
            ) from None
        raise


def _extended(path: Path, base: Path) -> tuple[Document, str] | None:
    """What the study of ``path`` extends, merged, and how it is shown; None where it extends nothing."""
    parent = read_file(path).values.get("extends")
    if parent is None:
        return None
    above = Path(os.path.normpath(path.parent / parent))
    return _read_chain(above, base, (path,)), shown(above)


def _override(key: str, text: str, base: Path) -> Document:
    """One value given by dotted key."""
    label = f"--set {key}"
    steps = tuple(key.split("."))
    if not all(steps) or steps[0] == "extends":
        rule = (
            "extends is read from the study's file alone"
            if steps[0] == "extends"
            else (f"a value is set by its dotted key, such as value.margin=0.4 (got {key!r})")
        )
        raise StudyError(rule, place=label)
    document = read_value(text, steps, label)
    document.values = relative_paths(document.values, Path.cwd(), base)
    return document


def _validated(document: Document, base: Path, source: str | None) -> Study:
    """The study, or everything that is wrong with it in one error."""
    problems = list(document.problems)
    known = {problem.key for problem in problems}
    document.marks.setdefault((), Mark(source or "the study"))
    try:
        text = json.dumps(document.values)
        study = Study.model_validate_json(text, strict=True)  # strict: no text as number, no number as text
    except ValidationError as error:
        found = [broken_rule(Study, item, document) for item in error.errors()]
        below = {
            key[:n] for key in known for n in range(1, len(key))
        }  # judged as a whole once their parts are right
        problems += [
            p
            for p in found
            if p.key not in below and not any(p.key[:n] in known for n in range(1, len(p.key) + 1))
        ]
    else:
        problems += odd_days(study, document)
    if problems:
        raise InvalidStudy(sorted(problems, key=lambda p: (p.mark.file, p.mark.line or 0)))
    study._source, study._base, study._marks = source, base, document.marks
    return study
