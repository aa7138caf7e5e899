"""All models fitted and everyone valued, from nothing, twice: `python start.py CELLS SPEND_CELLS`.

Prints the seconds of the second time, in which nothing is imported, compiled or loaded any more.
"""

import sys
from time import perf_counter

import pandas as pd

from clvkit.fitting import fit_process, fit_spend
from clvkit.models_section import ModelsSection
from clvkit.valuation import scores
from clvkit.value import ValueSection

cells, spend_cells = (pd.read_parquet(path) for path in sys.argv[1:])
models = ModelsSection()
terms = ValueSection(margin=0.3, annual_discount_rate=0.1)
for _ in range(2):
    began = perf_counter()
    spend = fit_spend(spend_cells, models, 100, sample=False)
    for process in models.processes:
        fit = fit_process(process, cells, models, sample=False)
        scores(fit, spend, cells, terms, minor_per_unit=100, days_per_year=365.25)
    seconds = perf_counter() - began
print(seconds)
