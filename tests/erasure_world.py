"""A study with two sources, a crosswalk, a store, a run and exports, in which one person is to be erased."""

import csv
import gzip
import html
import json
import re
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from clvkit.customers import cells, customer_summary, score_cells, spend_cells
from clvkit.ledger.crosswalk import EVENT_COLUMNS, MEMBERS, Crosswalk
from clvkit.store import Store, sha256_file

AS_OF = date(2024, 6, 30)
PEOPLE = 12
WHO = 7  # the person to erase; of the others, 8 has the same history
EMAIL, SHOP, TILL = "ada.l@example.org", "SHOP-00007", "41007"


def pseudonym(number):
    return f"{number:02d}" + f"{0xAB12CD34EF56 * (number + 3):030x}"[-30:]


OLD = pseudonym(99)  # the person's till account had one of its own before it was merged
TRACES = [EMAIL, SHOP, pseudonym(WHO), OLD]


def purchase_rows(name=pseudonym):
    """Purchases by person: number n buys 1 + n % 3 times; 7 and 8 buy alike but for the amounts."""
    rows = []
    for number in range(PEOPLE):
        like = 7 if number == 8 else number
        for visit in range(2 + like % 3):
            day = date(2024, 1, 1 + like) + timedelta(days=31 * visit)
            amount = 1000 + 100 * visit + (number if number in (7, 8) else 0)
            rows.append((name(number), day, amount, 1, "all"))
    return rows


def purchases_table(rows):
    columns = ("customer", "day", "amount_minor", "lines", "segment")
    kinds = (pa.string(), pa.date32(), pa.int64(), pa.int64(), pa.string())
    return pa.table([pa.array(c, k) for c, k in zip(zip(*rows, strict=True), kinds, strict=True)], columns)


def save_ledger(rows, folder):
    folder.mkdir(exist_ok=True)
    pq.write_table(purchases_table(rows), folder / "purchases.parquet")
    said = [
        {"row": n, "file": "shop.csv.gz", "customer": c, "amount_minor": a, "reason": None, "value": None}
        for n, (c, _, a, _, _) in enumerate(rows)
    ]
    said += [
        {"row": 900, "file": "shop.csv.gz", "customer": None, "reason": "row_unparseable", "value": value}
        for value in (f"{SHOP};{EMAIL};x", f"{TILL},2024-13-01,5", "41008,2024-13-01,5", "A41007,1,2")
    ]
    pq.write_table(pa.Table.from_pylist(said), folder / "rows.parquet")
    words = {
        "totals": {"customers": PEOPLE, "rows": {"in": 41007}},
        "checks": [{"id": "rows", "value": 41007, "message": "41007 rows were read"}],
        "quarantine": [
            {"file": "till.csv", "row": 3, "reason": "date_unreadable", "value": f"{TILL},2024-13-01,5"},
            {"file": "till.csv", "row": 4, "reason": "date_unreadable", "value": "41008,2024-13-01,5"},
        ],
    }
    (folder / "ledger.json").write_text(json.dumps(words))


def write_frame(frame, folder):
    frame.to_parquet(folder / "table.parquet", index=False)


class World:
    """The study at ``root``; ``keys`` are those of its artifacts by kind."""

    def __init__(self, root: Path):
        self.root, self.reports = root, root / "reports"
        self.folder = self.reports / "acme"
        self.store = Store(self.folder / ".store")
        section = {"format": "auto", "encoding": "utf-8", "delimiter": ",", "bills_of": None}
        sources = {
            "shop": SimpleNamespace(path="shop.csv.gz", keys={"email": "mail"}, **section),
            "till": SimpleNamespace(path="till.csv", columns=SimpleNamespace(customer="card"), **section),
            "bank": SimpleNamespace(path=None, **section),
        }
        self.study = SimpleNamespace(
            name="acme",
            base=root / "data",
            ledger=SimpleNamespace(by_name=lambda: sources),
            privacy=SimpleNamespace(recipients=("Mailing house",)),
        )

    def build(self):
        self._sources()
        self._crosswalk()
        self._store()
        self._run()
        self._others()
        return self

    def _sources(self):
        data = self.root / "data"
        data.mkdir(parents=True)
        with gzip.open(data / "shop.csv.gz", "wt", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["id", "mail", "day", "net"])
            for number in range(PEOPLE):
                mail = EMAIL if number == WHO else f"p{number}@example.org"
                rows.writerows([[f"SHOP-{number:05d}", mail, "2024-01-01", "10.00"]] * 2)
        lines = ["card,day,net", *(f"{41000 + n},2024-01-01,5.00" for n in range(PEOPLE))]
        (data / "till.csv").write_text("\n".join([*lines, f"900,{EMAIL.upper()},1.00", "900,x,41007"]) + "\n")

    def _crosswalk(self):
        rows = [
            (source, account, pseudonym(n), date(2024, 1, 31))
            for n in range(PEOPLE)
            for source, account in (("shop", f"SHOP-{n:05d}"), ("till", str(41000 + n)))
        ]
        members = pa.table([pa.array(c, f.type) for c, f in zip(zip(*rows, strict=True), MEMBERS, strict=True)],
                           schema=MEMBERS)  # fmt: skip
        events = [("merge", OLD, pseudonym(WHO), "2024-03-31", "email"),
                  ("merge", pseudonym(50), pseudonym(2), "2024-03-31", "email")]  # fmt: skip
        empty = Crosswalk.empty()
        made = Crosswalk(members, pd.DataFrame(events, columns=list(EVENT_COLUMNS)), empty.review, [])
        made.save(self.folder / ".crosswalk")

    def _store(self):
        rows = purchase_rows()
        keys = {
            "ledger": self._kept("ledger", {"inputs": [["till.csv", "x"]]}, lambda f: save_ledger(rows, f))
        }
        summary = customer_summary(ibis.memtable(purchases_table(rows)), AS_OF)
        needs = {"needs": {"ledger": keys["ledger"]}, "settings": {"as_of": AS_OF.isoformat()}}
        frames = {
            "cells": cells(summary),
            "spend_cells": spend_cells(summary),
            "score_cells": score_cells(summary),
        }
        for kind, frame in frames.items():
            keys[kind] = self._kept(kind, needs, lambda f, frame=frame: write_frame(frame, f))
        needs = needs | {"needs": {"score_cells": keys["score_cells"]}}
        scores = frames["score_cells"].assign(clv=range(len(frames["score_cells"])))
        keys["scores"] = self._kept("scores", needs, lambda f: write_frame(scores, f))
        needs = {"needs": {"cells": keys["cells"]}}
        keys["fit"] = self._kept("fit", needs, lambda f: (f / "fit.json").write_text('{"r": 0.5}'))
        # Of before the merge: the person under the till account's own pseudonym.
        older = [(OLD if c == pseudonym(WHO) else c, *rest) for c, *rest in rows]
        keys["old ledger"] = self._kept("ledger", {"inputs": []}, lambda f: save_ledger(older, f))
        keys["apart"] = self._kept("rates", {}, lambda f: write_frame(pd.DataFrame({"rate": [1.0]}), f))
        self.keys = keys
        draft = self.folder / ".store" / ".new-killed"
        draft.mkdir()
        pq.write_table(purchases_table(rows), draft / "purchases.parquet")

    def _kept(self, kind, ingredients, save):
        key, _ = self.store.artifact(
            kind,
            ingredients,
            make=lambda: None,
            save=lambda made, folder: save(folder),
            load=lambda folder: None,
        )
        return key

    def _run(self):
        run = self.folder / "2024-06-30" / "aaaa0001"
        (run / "parts").mkdir(parents=True)
        (run / "results.json").write_text(json.dumps({"metrics": {"rows": {"value": 41007}}}))
        (run / "index.html").write_text("<p>The 12 customers bring USD 300; 41007 rows were read.</p>")
        used = {"ledger": self.keys["ledger"], "fit:bgnbd": self.keys["fit"]}
        part = {"stem": "01_ledger", "artifacts": used, "metrics": {}, "exhibits": [], "checks": []}
        (run / "parts" / "01_ledger.json").write_text(json.dumps(part))
        said = {"run_id": "aaaa0001", "study": "acme", "as_of": "2024-06-30", "state": "complete"}
        (run / "run.json").write_text(json.dumps(said | {"inputs": [], "artifacts": used}))
        self.run = run

    def _others(self):
        draft, exports = self.folder / "draft" / "notebooks", self.folder / "exports"
        draft.mkdir(parents=True)
        exports.mkdir()
        text = html.escape(f"<td>{pseudonym(WHO)}</td><td>{EMAIL}</td>")
        (draft / "mine.ipynb").write_text(json.dumps({"cells": [{"outputs": [text, "A41007"]}]}))
        with gzip.open(exports / "scores.csv.gz", "wt") as file:
            file.write("customer,clv\n" + "".join(f"{pseudonym(n)},{n}.5\n" for n in range(PEOPLE)))
        people = [{"source": s, "account": TILL, "clv": 1.5} for s in ("till", "shop")]
        pq.write_table(pa.Table.from_pylist(people), exports / "cards.parquet")
        (exports / "mail.jsonl").write_text(json.dumps({"to": EMAIL}) + "\n")

    def hashes(self):
        """sha256 of every file of the study's folder."""
        return {
            path.relative_to(self.folder).as_posix(): sha256_file(path)
            for path in self.folder.rglob("*")
            if path.is_file()
        }


def traces(folder: Path) -> list[str]:
    """Files below a folder that name the person, however they are written: raw, unpacked, or read as a table."""
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        texts = [data.decode("latin-1")]
        if path.suffix == ".gz":
            texts.append(gzip.decompress(data).decode("latin-1"))
        if path.suffix == ".parquet":
            texts.append(json.dumps(pq.read_table(path).to_pylist(), default=str))
        lowered = "\n".join(texts).lower()
        if any(trace.lower() in lowered for trace in TRACES) or card(path, texts):
            found.append(path.relative_to(folder).as_posix())
    return found


def card(path: Path, texts: list[str]) -> bool:
    """Whether the till's account stands in a table or list as one; a count of 41007 rows is none."""
    if path.suffix in (".html", ".json") and path.name != "suppressed.json":
        return any(f'"{TILL},' in text for text in texts)
    if path.name == "cards.parquet":  # the shop's account of the same number is another person's
        return len(pq.read_table(path)) > 1
    return any(re.search(rf"(?<!\w){TILL}(?!\w)", text) for text in texts)
