"""Some of CDNOW's customers, and settings that make every notebook quick: numbers here mean nothing."""

import csv
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data_samples" / "cdnow" / "cdnow_sample.csv"


def write_small_study(folder: Path, every: int = 6, **sections) -> Path:
    """A study over every so-many-th customer of the sample; ``sections`` replace fields, by section."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(SAMPLE, newline="") as file:
        header, *rows = csv.reader(file)
    kept = set(sorted({row[0] for row in rows})[::every])
    with open(folder / "small.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *(row for row in rows if row[0] in kept)])
    study = {
        "extends": str(ROOT / "params" / "cdnow.yml"),
        "name": "small",
        "title": "A small company",
        "ledger": {"path": "small.csv", "control_total": None, "control_rows": None},
        "retention": {"simulations": 2, "simulated_customers": 2000},
        "models": {"sampler": {"draws": 100, "tune": 200, "chains": 2}},
        "value": {"posterior_draws": 50},
        "backtest": {"posterior_draws": 50},
    }
    for section, values in sections.items():
        study[section] = study.get(section, {}) | values
    path = folder / "small.yml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path
