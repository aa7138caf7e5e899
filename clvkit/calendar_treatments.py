"""What each treatment of the calendar's windows, and the season, makes of the fit and of the value."""

from typing import TYPE_CHECKING

import numpy as np

from clvkit.calendar import make_calendar
from clvkit.calendar_section import TREATMENTS, CalendarSection
from clvkit.errors import FitError

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.workbench import Workbench

NOTHING, WINDOWS, DECLARED = "nothing acted on", "all windows: {}", "as the study says"


def cases(section: CalendarSection) -> dict[str, CalendarSection]:
    """The calendars to compare, by name: none, the windows under each treatment, and the one of the study."""
    made = {NOTHING: section.all_treated("ignore").without_season()}
    for treatment in TREATMENTS if section.windows else ():
        one = section.all_treated(treatment)
        if one.acts:  # without a season, to ignore all windows is to act on nothing
            made[WINDOWS.format(treatment)] = one
    return made | {DECLARED: section}


def compare(bench: "Workbench") -> "pd.DataFrame":
    """The headline process and the value at maximum likelihood, under each treatment.

    Returns
    -------
    DataFrame : ``how``; ``used``; ``rate`` (r/alpha, purchases of a mean customer per unit of usual time), ``alpha``;
        ``equity`` (within the horizon, major units); ``log_likelihood`` (of purchases in calendar time: they compare);
        ``why`` a treatment cannot be had, or something of it could not be estimated. No rows where the study has no
        calendar.
    """
    import pandas as pd

    from clvkit.averaging import marked, totals
    from clvkit.customers import daily_purchases
    from clvkit.fitting import fit_process
    from clvkit.truncation_fit import of_fitted
    from clvkit.value import Future, Terms

    study, section = bench.study, bench.study.calendar
    columns = ["how", "used", "rate", "alpha", "equity", "log_likelihood", "why"]
    if not (section.windows or section.acts):
        return pd.DataFrame(columns=columns)
    known = of_fitted(bench.summary(), study.models.left_truncation)
    daily = daily_purchases(bench.purchases().semi_join(known, "customer"), bench.known_until)
    cells, spend = bench.fitted_cells(), bench.spend()
    valued = marked(bench.cells(), bench.get("averaged"))
    terms = [(Terms.of(study.value, study.days_per_year), Future())]
    rows = []
    for how, one in cases(section).items():
        row = {"how": how, "used": how == DECLARED, "why": ""}
        try:
            found = make_calendar(one, cells, daily, study.models, study.as_of, study.days_per_year)
            fit = fit_process(
                study.models.headline, cells, study.models, sample=False, days_per_year=study.days_per_year, **found.timed
            )  # fmt: skip
            draws = fit.mle[None], spend.mle[None]
            group = np.zeros(len(valued), int)
            (sums,) = totals(
                fit, spend, draws, valued, [group], terms, bench.minor_per_unit, money_only=True
            )[0]
            row |= {
                "rate": float(fit.mle[0] / fit.mle[1]),
                "alpha": float(fit.mle[1]),
                "equity": float(sums.value[0, 0]),
                "log_likelihood": fit.log_likelihood,
                "why": " ".join(found.refused),
            }
        except FitError as error:
            if how == DECLARED:
                raise
            row["why"] = error.message
        rows.append(row)
    return pd.DataFrame(rows, columns=columns)
