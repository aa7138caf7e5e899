"""``python -m clvkit.simulate FOLDER``: write a company; ``--list-defects``: what can be planted in it."""

import argparse
import sys
from datetime import date
from pathlib import Path

from clvkit.errors import ClvError
from clvkit.simulate import DEFECTS, write_company


def main(words: list[str] | None = None) -> int:
    """Exit code: 0, or that of the error that was shown."""
    parser = argparse.ArgumentParser(
        prog="python -m clvkit.simulate", description="Write a company with known truth."
    )
    parser.add_argument("folder", type=Path, nargs="?", help="where to write it")
    parser.add_argument("--customers", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=20240117)
    parser.add_argument("--start", type=date.fromisoformat, default=date(2022, 7, 1), help="first of a month")
    parser.add_argument("--end", type=date.fromisoformat, default=date(2024, 12, 31))
    parser.add_argument("--currency", default="EUR")
    parser.add_argument("--no-season", action="store_true", help="purchases at the same speed all year")
    parser.add_argument("--defects", default="", metavar="A,B", help="names, with commas between; or all")
    parser.add_argument("--list-defects", action="store_true", help="show their names and what they do")
    asked = parser.parse_args(words)
    if asked.list_defects:
        print("\n".join(f"{one.name:24}{one.description}" for one in DEFECTS.values()))
        return 0
    if asked.folder is None:
        parser.error("name the folder to write to")
    names = list(DEFECTS) if asked.defects == "all" else [one for one in asked.defects.split(",") if one]
    try:
        truth = write_company(
            asked.folder,
            customers=asked.customers,
            seed=asked.seed,
            start=asked.start,
            end=asked.end,
            defects=names,
            currency=asked.currency,
            season=not asked.no_season,
        )
    except ClvError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    planted = "".join(
        f"\n  {one['name']}: {one['rows']} rows in {len(one['files'])} files" for one in truth.defects
    )
    print(f"{truth.persons:,} persons with {truth.purchases:,} purchases in {asked.folder}{planted}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
