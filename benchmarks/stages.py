"""Where the time of a report goes: `python -m benchmarks.stages [RUN]` fills its section of benchmarks/README.md.

RUN is what `clv show` takes: a folder, a run id or STUDY@latest; by default cdnow@latest.
"""

import sys

from benchmarks.environments import HERE
from benchmarks.report import README, fill
from benchmarks.tables import number, table


def main(arguments: list[str]) -> int:
    """Fill the README from the timings that a run keeps in its run.json."""
    from clvkit.errors import ClvError
    from clvkit.runs import find_run

    name = arguments[0] if arguments else "cdnow@latest"
    try:
        run = find_run(name)
    except ClvError as error:
        print(error, file=sys.stderr)
        return 2
    fill(README, "stages", section(run.manifest))
    print(f"{README.relative_to(HERE.parent)} says where run {run.run_id} spent its time")
    return 0


def section(manifest: dict) -> str:
    """The stages of one run as Markdown, slowest cell of each beside it."""
    rows = [
        [
            one["notebook"],
            number(one["seconds"]),
            number(max([cell[1] for cell in one.get("slowest") or [[0, 0]]])),
        ]
        for one in manifest["notebooks"]
    ]
    inside, whole = sum(one["seconds"] for one in manifest["notebooks"]), manifest["seconds"]
    rows += [["start, publish", number(max(whole - inside, 0)), ""], ["all", number(whole), ""]]
    customers = manifest["title"]
    return (
        f"Run {manifest['run_id']} of {customers} as of {manifest['as_of']}, state {manifest['state']}. Artifacts that an "
        "earlier run left in the store are not made again, and take no time here.\n\n"
        + table(["notebook", "seconds", "slowest cell"], rows)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
