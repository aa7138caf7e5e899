"""Two figures of coverage: the share of intervals that held the truth, and where the truth lay."""

from pathlib import Path

import numpy as np

from benchmarks.coverage_judge import STATED, judge
from benchmarks.coverage_worlds import NAMES

SHORT = {
    "purchases": "hold-out\npurchases",
    "revenue": "hold-out\nrevenue",
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
}
LABELS = {"bgnbd": "BG/NBD", "mbgnbd": "MBG/NBD", "paretonbd": "Pareto/NBD"}
TOTALS = ("equity", "purchases", "revenue")


def draw(found: dict, folder: Path) -> None:
    """``coverage.svg`` and ``places.svg``."""
    from clvkit.publish import style

    for name, make in (("coverage", shares), ("places", places)):
        with style.canvas(height=3.4, columns=len(NAMES), sharey=name == "places") as (drawing, axes):
            for axis, process in zip(axes, NAMES, strict=True):
                axis.set_title(LABELS[process])
                make(axis, {truths: one[process] for truths, one in found.items() if process in one})
            drawing.savefig(folder / f"{name}.svg", facecolor="white", metadata={"Date": None})


def shares(axis, found: dict) -> None:
    """Dots with the rates that are not excluded; open dots for the fixed truths."""
    from clvkit.publish import style

    names = list(next(iter(found.values()))["quantities"]) if found else []
    axis.axvline(STATED, color=style.MUTED, linewidth=0.8)
    for truths, shift, fill in (("prior", -0.13, style.PALETTE[0]), ("cdnow", 0.17, "white")):
        for at, name in enumerate(names):
            each = found.get(truths, {}).get("quantities", {}).get(name)
            if each is None:
                continue
            verdict = judge(each["covered"], each["n"])
            colour = style.PALETTE[0] if truths == "prior" else style.MUTED
            axis.plot([verdict.low, verdict.high], [at + shift] * 2, color=colour, linewidth=1)
            axis.plot(verdict.share, at + shift, "o", markersize=4, color=colour, markerfacecolor=fill)
    axis.set_yticks(range(len(names)), [SHORT.get(name, name) for name in names])
    style.horizontal(axis)
    axis.set_xlim(0.7, 1.01)
    style.percent_axis(axis.xaxis)
    axis.set_xlabel("truths held")


def places(axis, found: dict) -> None:
    """How far the distribution of places is from uniform, with the band that holds 99.9 % of uniform ones."""
    from scipy.stats import kstwo

    from clvkit.publish import style

    one = found.get("prior")
    if one is None:
        return
    u = np.linspace(0, 1, 201)
    most = max(each["n"] for each in one["quantities"].values())
    least = min(each["n"] for each in one["quantities"].values())
    for n, shade in ((least, 0.10), (most, 0.14)):
        axis.axhspan(
            -kstwo.ppf(0.999, n), kstwo.ppf(0.999, n), facecolor=style.PALETTE[0], alpha=shade, linewidth=0
        )
    for name, each in one["quantities"].items():
        gap = np.searchsorted(np.sort(each["places"]), u, side="right") / each["n"] - u
        total = name in TOTALS
        colour = style.PALETTE[1 + TOTALS.index(name)] if total else "#9db2c7"
        axis.plot(
            u,
            gap,
            color=colour,
            linewidth=1.4 if total else 0.8,
            label=SHORT.get(name, name).replace("\n", " ") if total else None,
        )
    axis.set_ylim(-0.2, 0.2)
    axis.set_xlabel("place of the truth in its posterior")
    if axis.get_subplotspec().is_first_col():
        axis.set_ylabel("share of worlds below, minus uniform")
        axis.legend(loc="lower left", fontsize=7.5, title="grey: parameters", title_fontsize=7.5)
