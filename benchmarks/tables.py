"""Results as Markdown tables."""

from benchmarks import results
from benchmarks.environments import label
from benchmarks.plan import CUSTOMERS, OURS, PEERS, SIZES, WORKS, Work

_PARTS = ("customers", "purchases", "recency_weeks", "T_weeks", "spend")
_EQUAL = 1e-6  # sums of a summary that differ by less than this, relatively, are the same


def number(value: float | None, digits: int = 3) -> str:
    """Significant digits, without an exponent; an empty cell for None."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    from math import floor, log10

    places = max(0, digits - 1 - floor(log10(abs(value))))
    return f"{value:,.{places}f}"


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, first column to the left and the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def sizes_of(kept: dict) -> list[str]:
    """The sizes that were measured for anybody else than us, in order; all sizes where nobody else was."""
    there = {one["size"] for one in kept["measurements"] if one["peer"] != OURS}
    there = there or {one["size"] for one in kept["measurements"]}
    return [size for size in SIZES if size in there]


def peers_of(kept: dict) -> list[str]:
    """Whoever was measured."""
    there = {one["peer"] for one in kept["measurements"]}
    return [peer for peer in PEERS if peer in there]


def of_works(kept: dict, cell) -> str:
    """A row per work and size, a column per peer; rows in which nobody has anything are left out."""
    peers, rows = peers_of(kept), []
    for work in WORKS.values():
        for size in sizes_of(kept):
            cells = [cell(work, peer, size) for peer in peers]
            if any(cells):
                rows.append([work.label, f"{CUSTOMERS[size]:,}", *cells])
    return table(["work", "customers", *map(label, peers)], rows)


def seconds(kept: dict, key: str = "seconds") -> str:
    """Median seconds; in brackets how many times as long as ours. ``again_seconds``: of the second call."""

    def cell(work: Work, peer: str, size: str) -> str:
        made = results.summed(kept, work.name, peer, size)
        if made is None or ("failed" not in made and made[key] is None):
            return ""
        if "failed" in made:
            return f"*{made['failed'].split(':')[0]}*" if key == "seconds" else ""
        times = results.ratio(kept, work.name, peer, size, key) if peer != OURS else None
        return number(made[key]) + (f" (× {number(times, 2)})" if times else "")

    return of_works(kept, cell)


def memory(kept: dict) -> str:
    """Most memory held at once, in MB, the interpreter and its imports included."""

    def cell(work: Work, peer: str, size: str) -> str:
        made = results.summed(kept, work.name, peer, size)
        return f"{made['peak_mb']:,.0f}" if made and made.get("peak_mb") else ""

    return of_works(kept, cell)


def failures(kept: dict) -> str:
    """What did not end with a result, in its own words."""
    lines = [
        f"- {label(one['peer'])}, {WORKS[one['work']].label}, {CUSTOMERS[one['size']]:,} customers: {one['failed']}"
        for one in kept["measurements"]
        if "failed" in one
    ]
    return "\n".join(dict.fromkeys(lines)) + "\n" if lines else ""


def agreement(kept: dict) -> str:
    """Everyone's parameters in one likelihood: how far below ours, and the parameter that differs most."""
    others, rows = [peer for peer in peers_of(kept) if peer != OURS], []
    for work in WORKS.values():
        for size in sizes_of(kept):
            ours = results.summed(kept, work.name, OURS, size)
            if not work.name.startswith("fit_") or not ours or ours.get("judged") is None:
                continue
            cells = [_apart(ours, results.summed(kept, work.name, peer, size)) for peer in others]
            if any(cells):
                rows.append([work.label, f"{CUSTOMERS[size]:,}", f"{ours['judged']:,.3f}", *cells])
    return table(["model", "customers", "log-likelihood, ours", *map(label, others)], rows)


def _apart(ours: dict, theirs: dict | None) -> str:
    if not theirs or theirs.get("judged") is None:
        return ""
    mine, yours = ours["parameters"], theirs["parameters"]
    worst = max(mine, key=lambda name: abs(yours[name] / mine[name] - 1))
    return (
        f"{theirs['judged'] - ours['judged']:+.3f}; {worst} {100 * (yours[worst] / mine[worst] - 1):+.2g} %"
    )


def posteriors(kept: dict) -> str:
    """Posteriors: seconds, effective draws, and what judges them."""
    rows = []
    for work in WORKS.values():
        for size in SIZES:
            for peer in PEERS:
                made = results.summed(kept, work.name, peer, size)
                if not made or "ess_min" not in made:
                    continue
                judged = (
                    f"k̂ {made['pareto_k']:.2f}"
                    if made.get("pareto_k") is not None
                    else f"R-hat {made['r_hat_max']:.4f}"
                )
                rows.append([work.label, f"{CUSTOMERS[size]:,}", label(peer), number(made["seconds"]),
                             f"{made['ess_min']:,.0f}", number(made["ess_min"] / made["seconds"]), judged])  # fmt: skip
    return table(
        ["posterior", "customers", "by", "seconds", "least ESS", "ESS per second", "convergence"], rows
    )


def totals(kept: dict) -> str:
    """Value of all customers by everyone's 12-month CLV at the same parameters."""

    def cell(work: Work, peer: str, size: str) -> str:
        made = results.summed(kept, work.name, peer, size)
        return f"{made['total']:,.0f}" if made and "total" in made else ""

    return of_works(kept, cell)


def scaling(kept: dict, works: tuple[str, ...]) -> str:
    """Our seconds and memory, a column per size."""
    sizes = [
        size for size in SIZES if size != "cdnow" and any(results.found(kept, w, OURS, size) for w in works)
    ]
    rows = []
    for work in works:
        made = [results.summed(kept, work, OURS, size) for size in sizes]
        if any(made):
            rows.append([WORKS[work].label, *map(_brief, made)])
    return table(["step", *(f"{CUSTOMERS[size]:,}" for size in sizes)], rows)


def _brief(made: dict | None) -> str:
    if made is None:
        return ""
    return "*failed*" if "failed" in made else f"{number(made['seconds'])} ({made['peak_mb']:,.0f})"


def same_summaries(kept: dict) -> str:
    """Whether everyone's summary of a log is the same, as a sentence."""
    compared, apart = set(), []
    for size in sizes_of(kept):
        ours = results.summed(kept, "summary", OURS, size)
        for peer in peers_of(kept):
            theirs = results.summed(kept, "summary", peer, size)
            if peer == OURS or not ours or not theirs or "failed" in theirs:
                continue
            compared.add(peer)
            apart += [
                f"{label(peer)} has {number(theirs[part], 8)} {part} for {CUSTOMERS[size]:,} customers, "
                f"we have {number(ours[part], 8)}"
                for part in _PARTS
                if abs(theirs[part] - ours[part]) > _EQUAL * abs(ours[part])
            ]
    if not compared:
        return ""
    if apart:
        return "The summaries differ: " + "; ".join(apart) + ".\n"
    return (
        "All summaries of one log have the same customers, purchases, recencies, ages and amounts "
        f"({', '.join(label(peer) for peer in PEERS if peer in compared)} and ours).\n"
    )
