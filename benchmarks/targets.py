"""What the workbench promises of its engine, each promise beside what was measured."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import results, tables
from benchmarks.environments import label
from benchmarks.plan import CUSTOMERS, OURS, PEERS

MILLION, SMALLER, SAMPLE = "1m", "100k", "cdnow"
FITS = ("fit_bgnbd", "fit_mbgnbd", "fit_paretonbd", "fit_gammagamma")
ALIKE = 1e-3  # log-likelihoods that differ by less are the same optimum


@dataclass(frozen=True)
class Promise:
    """One promise: what it says, and what it came to, with whether it is kept; None where it was not measured."""

    says: str
    found: Callable[[dict], tuple[str, bool] | None]


def _seconds(kept: dict, work: str, size: str) -> float | None:
    made = results.summed(kept, work, OURS, size)
    return None if made is None or "failed" in made else made["seconds"]


def times_faster(work: str, size: str, least: float, peers=tuple(PEERS)):
    """The fastest of ``peers`` takes at least ``least`` times as long as we do."""

    def found(kept):
        ratios = {
            peer: ratio
            for peer in peers
            if peer != OURS and (ratio := results.ratio(kept, work, peer, size)) is not None
        }
        if not ratios:
            return None
        fastest = min(ratios, key=ratios.get)
        return f"{tables.number(ratios[fastest], 2)} × ({label(fastest)})", ratios[fastest] >= least

    return found


def at_most_times(work: str, floor: str, size: str, most: float):
    """Our ``work`` takes at most ``most`` times as long as our ``floor``."""

    def found(kept):
        ours, bare = _seconds(kept, work, size), _seconds(kept, floor, size)
        if ours is None or bare is None:
            return None
        return f"{tables.number(ours / bare, 2)} ×", ours / bare <= most

    return found


def within(work: str, size: str, most: float, gigabytes: float | None = None):
    """Our ``work`` takes less than ``most`` seconds, and no more than ``gigabytes`` of memory."""

    def found(kept):
        made = results.summed(kept, work, OURS, size)
        if made is None:
            return None
        if "failed" in made:
            return made["failed"], False
        said, good = f"{tables.number(made['seconds'])} s", made["seconds"] < most
        if gigabytes is not None:
            said, good = (
                f"{said}, {made['peak_mb'] / 1000:.1f} GB",
                good and made["peak_mb"] < 1000 * gigabytes,
            )
        return said, good

    return found


def adds(work: str, most: float):
    """A new process adds less than ``most`` seconds to its work."""

    def found(kept):
        made = results.summed(kept, work, OURS, SAMPLE)
        if made is None:
            return None
        if "failed" in made:
            return made["failed"], False
        return f"{tables.number(made['added'])} s", made["added"] < most

    return found


def sampled(work: str, size: str, most: float):
    """A posterior within ``most`` seconds that meets the thresholds of its kind."""

    def found(kept):
        made = results.summed(kept, work, OURS, size)
        if made is None:
            return None
        if "failed" in made:
            return made["failed"], False
        k = made.get("pareto_k")
        sound = made["r_hat_max"] < 1.01 and not made["divergences"] if k is None else k < 0.7
        judged = f"R-hat {made['r_hat_max']:.4f}" if k is None else f"k̂ {k:.2f}"
        said = f"{tables.number(made['seconds'])} s, ESS {made['ess_min']:,.0f}, {judged}"
        return said, made["seconds"] < most and sound and made["ess_min"] > 400

    return found


def apart(kept: dict, process: str, size: str) -> tuple[float, float] | None:
    """Importance sampling against NUTS: the largest shift of a mean in standard deviations, and ratio of those."""
    pair = [results.summed(kept, f"{kind}_{process}", OURS, size) for kind in ("laplace", "posterior")]
    if any(one is None or "sd" not in one for one in pair):
        return None
    quick, chains = pair
    shift = max(
        abs(quick["parameters"][name] - chains["parameters"][name]) / sd for name, sd in chains["sd"].items()
    )
    spread = max((quick["sd"][name] / sd for name, sd in chains["sd"].items()), key=lambda one: abs(one - 1))
    return shift, spread


def agrees(process: str, size: str):
    """Means within a tenth of a standard deviation of NUTS', standard deviations within a tenth."""

    def found(kept):
        far = apart(kept, process, size)
        if far is None:
            return None
        return f"means within {far[0]:.2f} sd, sd × {far[1]:.2f}", far[0] < 0.1 and abs(far[1] - 1) < 0.1

    return found


def no_worse(kept: dict) -> tuple[str, bool] | None:
    """No peer's parameters have a higher likelihood than ours, in any fit that was made."""
    gaps = {}
    for work in FITS:
        for size in CUSTOMERS:
            ours = results.summed(kept, work, OURS, size)
            for peer in PEERS:
                theirs = results.summed(kept, work, peer, size)
                if (
                    peer != OURS
                    and ours
                    and theirs
                    and None not in (ours.get("judged"), theirs.get("judged"))
                ):
                    gaps[work, size, peer] = theirs["judged"] - ours["judged"]
    if not gaps:
        return None
    worst = max(gaps.values())
    return f"the best peer is {worst:+.4f} from ours in {len(gaps)} comparisons", worst < ALIKE


def grows_with_cells(kept: dict) -> tuple[str, bool] | None:
    """From the smallest to the largest company measured, a fit takes no more of the growth than its cells do."""
    made = {
        size: one
        for size in CUSTOMERS
        if size != SAMPLE and (one := results.summed(kept, "fit_bgnbd", OURS, size)) and "cells" in one
    }
    if len(made) < 2:
        return None
    small, *_, large = made
    few, many = made[small], made[large]
    customers, cells = CUSTOMERS[large] / CUSTOMERS[small], many["cells"] / few["cells"]
    seconds = many["seconds"] / few["seconds"]
    said = f"customers × {customers:,.0f}, cells × {tables.number(cells, 2)}, seconds × {tables.number(seconds, 2)}"
    return said, seconds <= cells


PROMISES = (
    Promise("order log to cells, 1 million customers: at least 4 × as fast as the fastest peer's summary",
            times_faster("summary", MILLION, 4)),
    Promise("the same: at most 2.5 × a bare DuckDB `GROUP BY customer, day` of the file",
            at_most_times("summary", "floor_parquet", MILLION, 2.5)),
    Promise("BG/NBD point fit, 1 million: at least 10 × the fastest peer",
            times_faster("fit_bgnbd", MILLION, 10)),
    Promise("Pareto/NBD point fit, 1 million: at least 150 × lifetimes",
            times_faster("fit_paretonbd", MILLION, 150, ("lifetimes",))),
    Promise("the same: at least 30 × pymc-marketing",
            times_faster("fit_paretonbd", MILLION, 30, ("pymc-marketing",))),
    Promise("every fit ends at the peers' optimum or a better one", no_worse),
    Promise("Pareto/NBD posterior of CDNOW by NUTS, R-hat < 1.01, ESS > 400: under 10 s",
            sampled("posterior_paretonbd", SAMPLE, 10)),
    Promise("BG/NBD posterior of 100 thousand by NUTS, the same thresholds: under 30 s",
            sampled("posterior_bgnbd", SMALLER, 30)),
    Promise("BG/NBD posterior of 1 million by importance sampling, k̂ < 0.7, ESS > 400: under 2 minutes",
            sampled("laplace_bgnbd", MILLION, 120)),
    Promise("Pareto/NBD posterior of 1 million, likewise", sampled("laplace_paretonbd", MILLION, 120)),
    Promise("BG/NBD: importance sampling agrees with NUTS, 100 thousand", agrees("bgnbd", SMALLER)),
    Promise("Pareto/NBD: importance sampling agrees with NUTS, 100 thousand", agrees("paretonbd", SMALLER)),
    Promise("a second start adds under 3 s to all fits and values of CDNOW, imports included", adds("next_start", 3)),
    Promise("12-month CLV of 1 million customers with intervals from 200 draws: under 60 s and 4 GB",
            within("clv_bgnbd_200", MILLION, 60, 4)),
    Promise("the same, Pareto/NBD, 400 draws", within("clv_paretonbd_400", MILLION, 60, 4)),
    Promise("a fit's time grows with cells, not with customers", grows_with_cells),
    Promise("`clv --help`: under 0.5 s", within("help", SAMPLE, 0.5)),
    Promise("`import clvkit`: under 1 s", within("import", SAMPLE, 1)),
    Promise("`make report` on all of CDNOW, warm: under 2 minutes", within("report", SAMPLE, 120)),
)  # fmt: skip


def table(kept: dict) -> str:
    """Every promise, what was measured, and whether it is kept."""
    rows = []
    for one in PROMISES:
        found = one.found(kept)
        said, good = found if found else ("not measured", None)
        rows.append([one.says, said, {True: "kept", False: "**not kept**", None: ""}[good]])
    return tables.table(["promise", "measured", ""], rows)
