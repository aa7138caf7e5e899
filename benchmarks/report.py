"""Write up a results file: `python -m benchmarks.report [RESULTS]` fills benchmarks/README.md and scaling.svg."""

import re
import sys
from pathlib import Path

from benchmarks import results, tables, targets
from benchmarks.environments import HERE
from benchmarks.plan import CUSTOMERS, OURS, SIZES, WORKS

README, PICTURE = HERE / "README.md", "scaling.svg"
SCALED = ("floor_parquet", "summary", "ledger_csv", "fit_bgnbd", "fit_paretonbd", "fit_gammagamma",
          "laplace_bgnbd", "clv_bgnbd", "clv_bgnbd_400")  # fmt: skip


def main(arguments: list[str]) -> int:
    """Fill the README beside this file from the results named, or the newest ones."""
    path = Path(arguments[0]) if arguments else results.newest()
    kept = results.load(path)
    drawn = picture(kept, README.with_name(PICTURE))
    fill(README, "results", section(kept, path.name, drawn))
    print(f"{README.relative_to(HERE.parent)} says what {path.name} holds")
    return 0


def fill(path: Path, name: str, text: str) -> None:
    """Replace what stands between the marks of a section; the rest of the file stays as it is.

    Raises
    ------
    ValueError : the file has no such section.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    whole = path.read_text("utf-8")
    filled, count = re.subn(
        re.escape(begin) + ".*?" + re.escape(end),
        lambda _: f"{begin}\n\n{text.strip()}\n\n{end}",
        whole,
        flags=re.S,
    )
    if count != 1:
        raise ValueError(f"{path.name} has no section between {begin} and {end}")
    path.write_text(filled, "utf-8")


def section(kept: dict, name: str, drawn: bool) -> str:
    """The results as Markdown."""
    parts = [
        described(kept, name),
        "### What is promised",
        "Each promise beside what this table's measurements say of it, medians throughout.",
        targets.table(kept),
        "### Time",
        "Median seconds inside the process, imports excluded; in brackets how many times as long as the workbench "
        "takes. The workbench reads the order log within its time; the peers get a frame that was read before, which "
        "has lines of its own. `weights=` by hand: customers counted per distinct history before lifetimes sees them, "
        "compared with our fit of the same cells.",
        tables.seconds(kept),
    ]
    if failed := tables.failures(kept):
        parts += ["What did not end with a result, in its own words:", failed]
    parts += [
        "The second time in the same process, where the first took less than 20 seconds: loading compiled code and "
        "compiling graphs are paid by then, where they are paid once.",
        tables.seconds(kept, "again_seconds"),
        "### Memory",
        "Most memory held at once, in MB, interpreter and imports included.",
        tables.memory(kept),
    ]
    parts += ["### Do they agree?", tables.same_summaries(kept)]
    parts += [
        "Everyone's parameters put into one likelihood, ours: the difference to our log-likelihood, and the parameter "
        "that differs most from ours. pymc-marketing's are at the mode under its default priors.",
        tables.agreement(kept),
        "Sum over all customers of the 12-month value at the same parameters, 10 % a year. The workbench discounts "
        "continuously over twelve months of 365.25/12 days; lifetimes and pymc-marketing add months of 4.345 and "
        "4.348 weeks, each discounted from its end; clvkit of the public index adds 52 weeks. Posterior means over "
        "draws: pymc-marketing multiplies by the mean of expected spend, the workbench averages the product.",
        tables.totals(kept),
        "### Posteriors",
        "The least effective sample size, bulk and tail, over all parameters; for importance sampling the effective "
        "size of the weighted draws.",
        tables.posteriors(kept),
    ]
    if drawn:
        parts += ["### Scaling", f"![Seconds by number of customers, one line per step]({PICTURE})"]
        parts += ["The same as numbers, seconds and in brackets MB:", tables.scaling(kept, SCALED)]
    return "\n\n".join(part.strip() for part in parts if part.strip())


def described(kept: dict, name: str) -> str:
    """Where and with what it was measured, and how busy the machine was."""
    where, ours = kept["machine"], kept["versions"][OURS]
    load = [one["load"] for one in kept["measurements"] if one["load"] is not None]
    packages = ", ".join(f"{package} {version}" for package, version in ours.items() if package != "commit")
    text = (
        f"Measured on {where['processor']}, {where['cores']} cores, {where['memory_gib']} GiB, {where['system']}, "
        f"Python {where['python']}; commit {ours['commit']} with {packages}. The peers' packages are listed in "
        f"`peers/`, every single measurement in `results/{name}`."
    )
    if load and max(load) > 1.5 * where["cores"]:
        text += (
            f" **The machine was busy with other work**: its load average was up to {max(load):.1f} when a "
            f"measurement began, on {where['cores']} cores. Read ratios, not seconds, and those with care."
        )
    return text


def picture(kept: dict, path: Path) -> bool:
    """Draw our seconds by number of customers, a line per step; False where fewer than two sizes were measured."""
    lines = {}
    for work in SCALED:
        made = {CUSTOMERS[size]: results.summed(kept, work, OURS, size) for size in SIZES if size != "cdnow"}
        points = {n: one["seconds"] for n, one in made.items() if one and "failed" not in one}
        if len(points) > 1:
            lines[work] = points
    if not lines:
        return False
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    with plt.rc_context({"svg.hashsalt": "clvkit", "svg.fonttype": "none"}):
        figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
        for work, points in lines.items():
            bare = work.startswith("floor")
            axes.plot(
                list(points), list(points.values()), marker="o", linewidth=1.5, label=WORKS[work].label,
                color="0.6" if bare else None, linestyle="--" if bare else "-",
            )  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel="customers", ylabel="seconds")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.grid(True, color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8, frameon=False)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
