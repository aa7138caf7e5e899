"""What several rooms' tests share: the CDNOW sample, read as a study reads it, and what is fitted to it.

Being here also puts this folder on the path: every test can import the helpers that lie beside it. The
calibration of the literature ends on 30 September 1997; the 273 days after it are the hold-out. Frames are
shared by the whole session: a test that changes one takes a copy.
"""

from datetime import date
from pathlib import Path

import pytest

pytest.register_assert_rewrite("published")  # its assertions say what they found, as a test's do

SAMPLE = Path(__file__).parents[1] / "data_samples" / "cdnow" / "cdnow_sample.csv"
ORIGIN, END = date(1997, 9, 30), date(1998, 6, 30)


@pytest.fixture(scope="session")
def cdnow_purchases():
    """The sample's purchases to the end of the file, one row per customer and day (an Ibis table)."""
    from clvkit.ledger import LedgerSection, build_ledger

    section = LedgerSection(path=SAMPLE.name)
    return build_ledger(section, as_of=END, currency="USD", base=SAMPLE.parent).purchases


@pytest.fixture(scope="session")
def cdnow_summary(cdnow_purchases):
    """One row per customer of the sample on 30 September 1997, in order of their numbers."""
    from clvkit.customers import customer_summary

    return customer_summary(cdnow_purchases, ORIGIN).order_by("customer").to_pandas()


@pytest.fixture(scope="session")
def cdnow_cells(cdnow_purchases):
    """The sample's cells on 30 September 1997."""
    from clvkit.customers import cells, customer_summary

    return cells(customer_summary(cdnow_purchases, ORIGIN))


@pytest.fixture(scope="session")
def cdnow_spend_cells(cdnow_purchases):
    """The sample's spend cells on 30 September 1997."""
    from clvkit.customers import customer_summary, spend_cells

    return spend_cells(customer_summary(cdnow_purchases, ORIGIN))


@pytest.fixture(scope="session")
def cdnow_customers(cdnow_purchases):
    """Distinct histories with their total of repeat spend, and how many customers share them."""
    from clvkit.customers import customer_summary, score_cells

    return score_cells(customer_summary(cdnow_purchases, ORIGIN))


@pytest.fixture(scope="session")
def cdnow_holdout(cdnow_purchases):
    """Cells of the sample with what their customers bought in the 273 days of the hold-out."""
    from clvkit.customers import holdout, holdout_cells

    return holdout_cells(holdout(cdnow_purchases, ORIGIN, END))


@pytest.fixture(scope="session")
def cdnow_fits(cdnow_cells, cdnow_spend_cells):
    """Maximum-likelihood fits of every model to the sample, by name, in weeks and dollars."""
    from clvkit.fitting import fit_process, fit_spend
    from clvkit.models_section import ModelsSection

    section = ModelsSection()
    fits = {name: fit_process(name, cdnow_cells, section, sample=False) for name in section.processes}
    return fits | {"gammagamma": fit_spend(cdnow_spend_cells, section, 100, sample=False)}


@pytest.fixture(scope="session")
def cdnow_posteriors(cdnow_cells, cdnow_spend_cells):
    """Fits of every model to the sample with a short posterior (2 chains of 250 draws), by name."""
    from clvkit.fitting import fit_process, fit_spend
    from clvkit.models_section import ModelsSection, SamplerSection

    section = ModelsSection(sampler=SamplerSection(draws=250, tune=300, chains=2))
    fits = {name: fit_process(name, cdnow_cells, section, sample=True) for name in section.processes}
    return fits | {"gammagamma": fit_spend(cdnow_spend_cells, section, 100, sample=True)}
