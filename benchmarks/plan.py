"""What is measured: who does which work on which company, and what it is called."""

from dataclasses import dataclass

OURS = "ours"
PEERS = {  # name: (label, the distribution whose version is shown)
    OURS: ("this workbench", "clv-workbench"),
    "lifetimes": ("lifetimes", "lifetimes"),
    "pymc-marketing": ("pymc-marketing", "pymc-marketing"),
    "clvkit-pypi": ("clvkit of the public index", "clvkit"),
}
DEFAULT_SIZES = ("cdnow", "100k", "1m")
SIZES = ("cdnow", "2k", "10k", "100k", "1m", "10m")
CUSTOMERS = {"cdnow": 2_357, "2k": 2_000, "10k": 10_000, "100k": 100_000, "1m": 1_000_000, "10m": 10_000_000}


@dataclass(frozen=True)
class Work:
    """One thing to measure.

    ``who`` maps a peer to the largest number of customers it is asked to do it for; `LONG` has what is added
    with ``--long``.
    """

    name: str
    label: str
    world: str
    needs: tuple[str, ...]
    who: dict[str, int]
    model: str | None = None  # whose parameters come out, to be judged by one likelihood


_ALL = 10_000_000
_EVERYONE = dict.fromkeys(PEERS, 1_000_000) | {OURS: _ALL}
_OTHERS = {peer: most for peer, most in _EVERYONE.items() if peer != OURS}
_LOG, _CSV, _TABLES, _VALUE = ("log.parquet",), ("log.csv",), ("tables",), ("draws",)


def _fit(model: str, label: str, world: str, who: dict[str, int]) -> Work:
    return Work(f"fit_{model}", f"{label}, point fit", world, _TABLES, who, model)


WORKS = {
    work.name: work
    for work in (
        Work("floor_parquet", "bare DuckDB GROUP BY customer, day (Parquet)", "bgnbd", _LOG, {OURS: _ALL}),
        Work("floor_csv", "bare DuckDB GROUP BY customer, day (CSV)", "bgnbd", _CSV, {OURS: 1_000_000}),
        Work("read_parquet", "read the Parquet file into pandas", "bgnbd", _LOG, _OTHERS),
        Work("read_csv", "read the CSV file into pandas", "bgnbd", _CSV, _OTHERS),
        Work("summary", "orders → customer summary or cells", "bgnbd", _LOG, _EVERYONE),
        Work("ledger_csv", "CSV → ledger, every row accounted for → cells", "bgnbd", _CSV, {OURS: 1_000_000}),
        _fit("bgnbd", "BG/NBD", "bgnbd", _EVERYONE),
        _fit("mbgnbd", "MBG/NBD", "bgnbd", _EVERYONE),
        _fit("paretonbd", "Pareto/NBD", "paretonbd", {p: n for p, n in _EVERYONE.items() if p != "clvkit-pypi"}),
        _fit("gammagamma", "Gamma-Gamma", "bgnbd", _EVERYONE),
        Work("help", "`clv --help`, a new process", "bgnbd", (), {OURS: 2_357}),
        Work("import", "`import clvkit`, a new process", "bgnbd", (), {OURS: 2_357}),
        Work("report", "`make report`: CDNOW, all customers, nothing in the store, code compiled", "bgnbd", (),
             {OURS: 2_357}),
        Work("first_start", "all fits and values of CDNOW twice in a new process, nothing compiled yet", "bgnbd", _TABLES, {OURS: 2_357}),
        Work("next_start", "the same, compiled", "bgnbd", _TABLES, {OURS: 2_357}),
        Work("fit_bgnbd_weighted", "BG/NBD, point fit, weights= by hand", "bgnbd", _TABLES,
             {"lifetimes": 1_000_000}, "bgnbd"),
        Work("fit_paretonbd_weighted", "Pareto/NBD, point fit, weights= by hand", "paretonbd", _TABLES,
             {"lifetimes": 1_000_000}, "paretonbd"),
        Work("posterior_bgnbd", "BG/NBD, posterior by NUTS, 4 × (1000 + 1000)", "bgnbd", _TABLES,
             {OURS: 100_000, "pymc-marketing": 10_000}, "bgnbd"),
        Work("posterior_paretonbd", "Pareto/NBD, posterior by NUTS, 4 × (1000 + 1000)", "paretonbd", _TABLES,
             {OURS: 100_000, "pymc-marketing": 0}, "paretonbd"),
        Work("laplace_bgnbd", "BG/NBD, posterior by importance sampling, 4000 draws", "bgnbd", _TABLES,
             {OURS: _ALL}, "bgnbd"),
        Work("laplace_paretonbd", "Pareto/NBD, posterior by importance sampling, 4000 draws", "paretonbd",
             _TABLES, {OURS: _ALL}, "paretonbd"),
        Work("clv_bgnbd", "12-month CLV of everyone, BG/NBD, point", "bgnbd", _VALUE, _EVERYONE),
        Work("clv_paretonbd", "12-month CLV of everyone, Pareto/NBD, point", "paretonbd", _VALUE,
             {p: n for p, n in _EVERYONE.items() if p != "clvkit-pypi"}),
        Work("clv_bgnbd_200", "12-month CLV of everyone, BG/NBD, 90 % interval from 200 draws", "bgnbd", _VALUE,
             {OURS: _ALL, "pymc-marketing": 1_000_000}),
        Work("clv_bgnbd_400", "12-month CLV of everyone, BG/NBD, 90 % interval from 400 draws", "bgnbd", _VALUE,
             {OURS: _ALL, "pymc-marketing": 100_000}),
        Work("clv_paretonbd_400", "12-month CLV of everyone, Pareto/NBD, 90 % interval from 400 draws",
             "paretonbd", _VALUE, {OURS: 1_000_000}),
    )
}  # fmt: skip
LONG = {"pymc-marketing": {"posterior_bgnbd": ("100k",), "posterior_paretonbd": ("cdnow",)}}


def asked(work: Work, peer: str, size: str, long: bool) -> bool:
    """Whether this peer does this work for so many customers, ``long`` ones included or not."""
    if size in LONG.get(peer, {}).get(work.name, ()):
        return long
    return CUSTOMERS[size] <= work.who.get(peer, -1)


def plan(works, peers, sizes, long: bool) -> list[tuple[Work, str, str]]:
    """(work, peer, size) in the order they are measured: small companies first, ours before the peers'."""
    return [
        (WORKS[name], peer, size)
        for size in SIZES
        if size in sizes
        for name in WORKS
        if name in works
        for peer in PEERS
        if peer in peers and asked(WORKS[name], peer, size, long)
    ]
