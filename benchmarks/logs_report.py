"""What the logs say of each refinement, in sentences computed from the numbers, and the numbers."""

from benchmarks import tables
from benchmarks.logs_data import LOGS
from clvkit import numbers

ORDER = list(LOGS)
WORTH = 0.01  # a score that moves by a smaller share is no reason for more parameters; and simulated scores are that exact
LEVEL = 0.1  # a total that is off by more than this share is a matter of the level, not of who buys
SHARP = 1.15  # medians whose error is more than so many times what the model takes it to be
#: The refinements: what they are, and against what.
KINDS = {
    "rhythm": "A rhythm (MBG/CNBD-k against MBG/NBD)",
    "segments": "Parameters by segment (against the same process for all)",
    "covariates": "Covariates (against the same process without)",
    "burn_in": "Leaving a burn-in's customers out of the fit (against fitting to all of a log that begins in the middle of "
    "their lives)",
    "season": "A season (against none)",
}


def section(kept: dict) -> str:
    """All of it, as Markdown."""
    logs = {name: kept["logs"][name] for name in sorted(kept["logs"], key=ORDER.index)}
    there = {name: one for name, one in logs.items() if "models" in one}
    where = kept["machine"]
    parts = [
        f"At commit {kept['versions']['commit']} ({where['cores']} cores, Python {where['python']}); every figure is in `logs/`. All "
        "fits are at maximum likelihood. Differences are called so where their 90 % interval over customers leaves zero out "
        f"and the score moves by {numbers.percent(WORTH, 0)} at least. The **score** is the continuous ranked probability "
        "score of what single customers buy: for a forecast that is one number it is the mean absolute error, so that "
        "rules and models stand on one scale, and less is better. In the tables, errors are purchases a customer; *segments* is what "
        "is misplaced between segments once the total is put right; *as expected* is what the model says of itself.",
        "### What helps",
        in_short(there),
        _list([*(line for kind in KINDS for line in refinement(kind, there)), spend(there)]),
        "A challenger that learns from customers' attributes and histories without a model of purchases (boosted trees, "
        "say) does not exist in the workbench yet. Its place is a row in each table below.",
        "### Models and rules of thumb, customer by customer",
        "In brackets by how much less or more than the last period repeated; not told apart: the 90 % interval over customers "
        "holds zero. What minimises the mean absolute error is the median of what a customer may do, not the mean; what adds up to "
        "the total is the mean, not the median.",
        _list(against_rule(one) for one in there.values()),
    ]
    for name, one in logs.items():
        if "models" in one:
            parts += [f"### {one['title']}", described(one), table(one)]
        else:
            parts += [f"### {name}", one["unavailable"]]
    return "\n\n".join(part.strip() for part in parts if part.strip())


def _list(lines) -> str:
    return "\n".join(f"- {line}" for line in lines if line)


def refinement(kind: str, logs: dict) -> list[str]:
    """What one refinement did, log by log."""
    told, refused = [], []
    for log in logs.values():
        name = next((n for n, one in log["models"].items() if _is(kind, n, one, log)), None)
        if name is None:
            if kind in log["refused"]:
                refused.append((log["title"], log["refused"][kind]))
            continue
        told.append(f"{log['title']}: {_told(kind, log, log['models'][name])}")
    if not told and not refused:
        return [f"**{KINDS[kind]}**: not tried on these logs."]
    if refused:
        reasons = {}
        for title, why in refused:
            reasons.setdefault(why, []).append(title)
        said = "; ".join(f"{', '.join(titles)} ({why})" for why, titles in reasons.items())
        told.append(f"It could not be fitted on {said}.")
    return [f"**{KINDS[kind]}**. " + " ".join(told)]


def in_short(logs: dict) -> str:
    """Which refinements help, hurt or do neither, and on which logs."""
    sorts, shared = {1: [], -1: [], 0: []}, []
    for kind, words in KINDS.items():
        found = {1: [], -1: [], 0: []}
        for log in logs.values():
            for name, one in log["models"].items():
                if not _is(kind, name, one, log):
                    continue
                if kind == "segments" and shares_helped(one, log["models"][one["refines"]]):
                    shared.append(log["title"])
                else:
                    found[verdict(one["later"], log["models"][one["refines"]]["later"])].append(log["title"])
        for sort, titles in found.items():
            if titles:
                sorts[sort].append(
                    f"{words.partition(' (')[0][0].lower()}{words.partition(' (')[0][1:]} on {', '.join(titles)}"
                )
    if shared:
        sorts[1].append(f"parameters by segment, for what segments buy, on {', '.join(shared)}")
    said = {1: "What helps", -1: "What hurts", 0: "What makes no difference"}
    return (
        "; ".join(f"**{said[sort]}**: {'; '.join(told)}" for sort, told in sorts.items() if told).replace(
            "; **", ". **"
        )
        + "."
    )


def _is(kind: str, name: str, one: dict, log: dict) -> bool:
    """Whether a fit is the one that a refinement is told by: that of the log's base process."""
    if kind == "rhythm":
        return name == "mbgcnbd"
    return one["kind"] == kind and one["refines"] == log["base"]


def _told(kind: str, log: dict, one: dict) -> str:
    base = log["models"][one["refines"]]
    if kind == "rhythm" and one["labels"]["early"].endswith("-1") and one["labels"]["later"].endswith("-1"):
        return "**no rhythm found** (k is 1, which is MBG/NBD)."
    early, later = (verdict(one[word], base[word]) for word in ("early", "later"))
    word = {1: "**helps**", 0: "**no difference**", -1: "**hurts**"}[later]
    text = (
        f"{word}, score {_change(one['later'], base['later'])} than {base['label']}'s, "
        f"total {_off(base['later']['purchases'])} before and {_off(one['later']['purchases'])} with it"
    )
    if kind == "segments":
        if shares_helped(one, base):
            text = text.replace(
                "**no difference**", "**helps with what segments buy**, not customer by customer", 1
            )
        text += (
            f"; purchases by segment, the total put right, off by {numbers.percent(base['later']['by_segment'])} before and "
            f"{numbers.percent(one['later']['by_segment'])} with it"
        )
    if early != later:
        said = {1: "it seemed to help", 0: "no difference was seen", -1: "it seemed to hurt"}[early]
        text += f"; on the early origin {said} (score {_change(one['early'], base['early'])})"
    return text + "."


def verdict(one: dict, base: dict) -> int:
    """1 where a fit's score is better than that of what it refines, −1 where it is worse, 0 where neither is clear."""
    value, low, high = one["crps_lead"]
    if abs(value) < WORTH * base["crps"]:
        return 0
    return int(low > 0) - int(high < 0)


def shares_helped(one: dict, base: dict) -> bool:
    """Whether a fit by segment put the shares of segments right, from both origins."""
    return all(base[word]["by_segment"] - one[word]["by_segment"] > WORTH for word in ("early", "later"))


def _change(one: dict, base: dict) -> str:
    share = 1 - one["crps"] / base["crps"]
    return f"{numbers.percent(abs(share), 1)} {'better' if share >= 0 else 'worse'}"


def _off(share: float) -> str:
    return f"{'+' if share > 0 else ''}{numbers.percent(share, 1)}"


def spend(logs: dict) -> str:
    """What spend by frequency did to the revenue of classes of customers."""
    told = []
    for log in logs.values():
        one = next((m for m in log["models"].values() if m["kind"] == "spend"), None)
        if one is None:
            continue
        base = log["models"][one["refines"]]
        gains = [base[word]["by_class"] - one[word]["by_class"] for word in ("early", "later")]
        word = (
            "helps"
            if min(gains) > WORTH
            else "hurts"
            if max(gains) < -WORTH
            else "no difference that both origins show"
        )
        told.append(
            f"{log['title']}: **{word}**, revenue by class of frequency off by {numbers.percent(base['later']['by_class'])} before "
            f"and {numbers.percent(one['later']['by_class'])} with it (early: {numbers.percent(base['early']['by_class'])} and "
            f"{numbers.percent(one['early']['by_class'])})."
        )
    return "**Spend by frequency (against Gamma-Gamma)**. " + " ".join(told) if told else ""


def against_rule(log: dict) -> str:
    """Whether the expected counts and the medians of a log's base process beat the last period repeated, and why not."""
    one, rule = log["models"][log["base"]], log["models"]["last_period"]
    later, mae = one["later"], rule["later"]["mae"]
    text = (
        f"**{log['title']}**: the last period repeated was off by {mae:.3f} purchases a customer, the expected counts of "
        f"{one['label']} by {later['mae']:.3f} ({_beats(later['mae_rule'])}), its medians by {later['mae_median']:.3f} "
        f"({_beats(later['median_rule'])}). Medians added up are off by {_off(later['purchases_median'])} in total, means by "
        f"{_off(later['purchases'])}."
    )
    fits = [m for m in log["models"].values() if m["kind"] != "rule"]
    best = min(fits, key=lambda m: m["early"]["mae_median"])
    text += (
        f" The medians that were best on the early origin ({best['labels']['later']}) were off by {best['later']['mae_median']:.3f} "
        f"later ({_beats(best['later']['median_rule'])})."
    )
    known, blend = log["at_true_total"]["later"], log["blend"]
    times = later["mae_median"] / later["mae_expected"]
    if later["median_rule"][1] > 0:
        gain, ahead = later["mae"] - later["mae_median"], mae - later["mae_median"]
        if gain >= ahead:
            return (
                f"{text} All of the {ahead:.3f} that the medians are ahead come from asking for the median."
            )
        return f"{text} Of the {ahead:.3f} that the medians are ahead, {gain:.3f} come from asking for the median."
    if times > SHARP:
        text += f" Were the model right, its medians would be off by {later['mae_expected']:.3f}; that it is {times:.2f} times as much "
        text += (
            f"comes with a level that changed: its total was {_off(later['purchases'])}. Had both known the total, the medians "
            f"would be off by {known['median']:.3f} and the rule by {known['rule']:.3f}."
            if abs(later["purchases"]) > LEVEL
            else f"is not the level, which is right to {_off(later['purchases'])}: customers change their habits, and "
            f"{numbers.percent(later['coverage'], 0)} of them were inside intervals that should hold {numbers.percent(later['coverage_expected'], 0)}."
        )
    if blend["share"] == 0:
        return f"{text} On the early origin no share of the rule made the medians better."
    knows = (
        "the last period knows something that the fit, which takes rates to be constant, does not."
        if blend["later"] < min(later["mae_median"], mae)
        else "together they know no more than the better of them."
    )
    return (
        f"{text} With a share of {numbers.percent(blend['share'], 0)} for the rule, chosen on the early origin, the two "
        f"together are off by {blend['later']:.3f}: {knows}"
    )


def _beats(lead: list[float]) -> str:
    value, low, high = lead
    if low > 0:
        return f"{value:.3f} less"
    return f"{-value:.3f} more" if high < 0 else "not told apart"


def described(log: dict) -> str:
    """What the log is, and what was chosen on it."""
    best = log["models"][log["best"]]
    text = (
        f"{log['about']} {log['customers']['later']:,} customers were known on {numbers.date_words(log['origins'][1])}, and "
        f"{log['customers']['early']:,} on {numbers.date_words(log['origins'][0])}; the forecasts are of "
        f"{log['horizon_days']['later']} and {log['horizon_days']['early']} days."
    )
    if log["segments"]:
        text += f" Segments are {log['segments']}."
    return (
        f"{text} The champion of the early origin is **{best['label']}**, and refinements are told by those of "
        f"{log['models'][log['base']]['label']}; later the champion's total was "
        f"{_off(best['later']['purchases'])} and its score {best['later']['crps']:.3f}, the least later being "
        f"{min(m['later']['crps'] for m in log['models'].values()):.3f}."
    )


def table(log: dict) -> str:
    """Every fit and rule of a log: what was chosen on, and what is quoted."""
    header = ["", "early total", "early score", "total", "revenue", "revenue by class", "segments", "MAE", "MAE of median", "as expected",
              "RMSE", "wMAPE", "score", "in 90 %", "as expected"]  # fmt: skip
    rows = []
    for one in log["models"].values():
        early, later = one["early"], one["later"]
        model = one["kind"] != "rule"
        rows.append([
            one["labels"]["later"], _off(early["purchases"]), f"{early['crps']:.3f}", _off(later["purchases"]),
            _off(later["value"]), numbers.percent(later["by_class"]),
            numbers.percent(later["by_segment"]) if log["segments"] else "", f"{later['mae']:.3f}",
            f"{later['mae_median']:.3f}" if model else "", f"{later['mae_expected']:.3f}" if model else "",
            f"{later['rmse']:.3f}", numbers.percent(later["wmape"], 0), f"{later['crps']:.3f}",
            numbers.percent(later["coverage"]) if model else "",
            numbers.percent(later["coverage_expected"]) if model else "",
        ])  # fmt: skip
    rows.append(["a learnt challenger: none yet", *[""] * (len(header) - 1)])
    return tables.table(header, rows)
