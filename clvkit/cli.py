"""The command line: thin, every command is one call. What takes long to import is imported when needed."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from clvkit.errors import ClvError, StudyError

app = typer.Typer(
    name="clv",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="""Customer lifetime value: from a study to a report that finance can read.

    A study is a YAML file in params/ that names the data, the models and the money. `clv run` executes the
    notebooks over it and publishes one self-contained report; nothing that did not finish is ever published.

    Exit codes: 0 complete; 1 complete, but a check that must hold does not; 2 the study, the data or the
    command is not right, nothing was run; 3 the run did not complete; 130 interrupted.
    """,
)

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="The study file, such as params/cdnow.yml.")]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="DATE", help="Look from this day (1998-06-30) instead of the study's."),
]
Values = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Replace one value of the study, by dotted key: --set value.margin=0.4. May be repeated.",
    ),
]
Reports = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", help="Folder of all reports; reports/ of the checkout if not given."
    ),
]


@app.callback()
def _options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    context.obj = {"debug": debug}


@app.command()
def run(
    context: typer.Context,
    study: StudyFile,
    as_of: AsOf = None,
    values: Values = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="NOTEBOOK",
            help="Execute one notebook, such as 04_value, into the study's draft/ folder; nothing is published.",
        ),
    ] = None,
    out: Reports = None,
    cell_timeout: Annotated[
        float, typer.Option(metavar="S", min=1, help="Longest time for one notebook cell. Unit: seconds.")
    ] = 1800,
    time_limit: Annotated[
        float, typer.Option(metavar="S", min=1, help="Longest time for the whole run. Unit: seconds.")
    ] = 21600,
    notebooks: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of notebooks; the checkout's if not given.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Execute the notebooks over a study and publish the report.

    The report goes to reports/<study>/<as-of date>/<run id>/index.html; the last line says where. A run that
    does not complete leaves a partial report, marked as such, under reports/<study>/failed/.
    """
    context.obj["debug"] |= debug
    chosen = _study(study, as_of, values)
    from clvkit.publish.execute import run_study
    from clvkit.publish.kernel import Limits
    from clvkit.publish.progress import Progress

    finished = run_study(
        chosen,
        notebooks=_absolute(notebooks),
        reports=_absolute(out),
        only=only,
        limits=Limits(cell=cell_timeout, run=time_limit),
        progress=Progress(),
        command=_command_line(),
    )
    if finished.error:
        _print_error(finished.error)
        if context.obj["debug"]:
            typer.echo(finished.traceback, err=True)
    raise typer.Exit(finished.exit_code)


@app.command()
def check(
    study: StudyFile,
    as_of: AsOf = None,
    values: Values = None,
    out: Reports = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check a study and its data; fit nothing.

    Shows which rows would be used, what is wrong, and whether the data can carry a value.

    Exit code 1 when a check that must hold does not, as with `clv run`.
    """
    chosen = _study(study, as_of, values)
    from clvkit.publish.inspect import inspect_study

    raise typer.Exit(inspect_study(chosen, _absolute(out), as_json=json_))


@app.command()
def new(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A CSV or Parquet file, a folder of them, a pattern, or a database: duckdb:FILE, sqlite:FILE, "
            "env:NAME (a variable with the address of a PostgreSQL server) or spark.",
        ),
    ],
    relation: Annotated[
        str | None, typer.Option("--relation", metavar="TABLE", help="The table or view of a database.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Write the study here; printed if not given.")
    ] = None,
) -> None:
    """Look at data never seen before and propose a study, with every doubt marked.

    What the data leave open is marked UNSURE in the study, with what to look for. `clv check` shows what it would use.
    """
    from clvkit.propose import write_proposal

    typer.echo(write_proposal(data, to, relation))


@app.command()
def erase(
    study: StudyFile,
    customer: Annotated[
        str, typer.Argument(metavar="CUSTOMER", help="The customer's pseudonym, or SOURCE:ACCOUNT.")
    ],
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who carries out the erasure.")],
    out: Reports = None,
) -> None:
    """Erase a person from the crosswalk, the store and the scores of a study.

    Published reports stand: they name nobody. The certificate lists what was changed, what to refit, whom to tell, and
    which of your own files still hold the person; those are not touched.
    """
    from datetime import date

    from clvkit.erasure import erase as carry_out

    typer.echo(
        carry_out(
            _study(study, None, None), customer, by=by, today=date.today(), reports=_absolute(out)
        ).text()
    )


@app.command()
def expire(
    study: StudyFile,
    dry: Annotated[bool, typer.Option("--list", help="Only list what is past its time.")] = False,
    out: Reports = None,
) -> None:
    """Remove tables that are kept longer than the study's privacy.retention allows.

    What is removed is noted in the study's expiries.jsonl; published reports stay. A run makes a table again when it
    needs one.
    """
    from datetime import date

    from clvkit.privacy import expire_text

    typer.echo(expire_text(_study(study, None, None), date.today(), reports=_absolute(out), remove=not dry))


@app.command()
def export(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run folder, a run id, or STUDY@latest.")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="TARGET",
            help="A .csv or .parquet file, or table:SCHEMA.NAME in the study's own database; replaced in one step.",
        ),
    ],
    purpose: Annotated[str, typer.Option("--purpose", metavar="NAME", help="What the scores are used for.")],
    study: Annotated[
        Path | None,
        typer.Option(
            "--study",
            metavar="FILE",
            help="The study's file, if not params/<study>.yml; for tables of a DuckDB file.",
        ),
    ] = None,
    out: Reports = None,
) -> None:
    """Write the scores of every customer of a complete run to a file or a table.

    Nothing is fitted: scores are made from what the store has kept of the run. Customers go by their pseudonyms. Each
    export is logged with its purpose, hash and rows in the study's exports.jsonl, and `clv erase` names who has one.
    """
    from clvkit.export import export_scores
    from clvkit.runs import find_run

    typer.echo(export_scores(find_run(name, _absolute(out)), to, purpose, study_file=study).text())


@app.command()
def rank(
    names: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Run folders, run ids or STUDY@latest, one of each study."),
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="FILE", help="A .csv or .parquet file; replaced in one step.")
    ],
    purpose: Annotated[str, typer.Option("--purpose", metavar="NAME", help="What the scores are used for.")],
    out: Reports = None,
) -> None:
    """Put the scores of several studies, such as regions, on one scale: percentiles within each and across all.

    Says what the studies have to show and what they say differently. Logged in each study as an export is.
    """
    from clvkit.runs import find_run
    from clvkit.standard_scores import rank

    typer.echo(rank([find_run(name, _absolute(out)) for name in names], to, purpose).text())


@app.command("list")
def list_(
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="Name of a study.")] = None,
    out: Reports = None,
) -> None:
    """List the runs, newest first, with their state, the verdict on the model, and their checks."""
    from clvkit.publish.inspect import print_runs

    print_runs(_study_name(study), _absolute(out))


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run folder, a run id, or STUDY@latest.")],
    out: Reports = None,
    json_: Annotated[bool, typer.Option("--json", help="Print results.json as it is.")] = False,
    lineage: Annotated[
        bool, typer.Option("--lineage", help="Print what a figure rests on: files, artifacts, notebook.")
    ] = False,
    metric: Annotated[
        str,
        typer.Option(
            "--metric", metavar="ID", help="With --lineage: the figure, by its name in the results."
        ),
    ] = "customer_equity",
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="NAME",
            help="Print what rests on a source or a file, in all runs of the study.",
        ),
    ] = None,
) -> None:
    """Show the headline results of a run, or what they rest on."""
    from clvkit.runs import find_run

    run = find_run(name, _absolute(out))
    if lineage or source:
        from clvkit.provenance import dependents_text, rests_on

        typer.echo(
            dependents_text(run.folder.resolve().parent.parent, source)
            if source
            else rests_on(run, metric).text()
        )
        return
    from clvkit.publish.inspect import print_run

    print_run(run, as_json=json_)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors meant for the user are printed without a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        sys.exit(app(arguments, prog_name="clv", standalone_mode=False) or 0)
    except ClvError as error:
        if "--debug" in arguments:
            raise
        _print_error(error)
        sys.exit(error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe has gone, as with `clv list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if not hasattr(error, "show"):  # not a mistake in how the command was called
            raise
        error.show()
        sys.exit(error.exit_code)


def _study(path: Path, as_of: str | None, values: list[str] | None) -> Any:
    from clvkit.study import load_study

    overrides = {}
    for text in values or ():
        key, equals, value = text.partition("=")
        if not equals:
            raise StudyError(f"--set takes KEY=VALUE, such as value.margin=0.4 (got {text!r})")
        overrides[key.strip()] = value.strip()
    return load_study(path, overrides, as_of)


def _study_name(text: str | None) -> str | None:
    """A study may be named, or be given by its file."""
    return Path(text).stem if text and text.endswith((".yml", ".yaml")) else text


def _absolute(path: Path | None) -> Path | None:
    return path.resolve() if path else None


def _command_line() -> str:
    import shlex

    return shlex.join(["clv", *sys.argv[1:]])


def _print_error(error: ClvError) -> None:
    typer.echo(f"error: {error}", err=True)


if __name__ == "__main__":
    main()
