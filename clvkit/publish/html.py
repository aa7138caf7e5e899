"""The two pages of a run: ``index.html`` for finance and ``audit.html`` with code and log."""

import re
from collections.abc import Sequence
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from clvkit.errors import RunError
from clvkit.numbers import date_words
from clvkit.provenance import headline_of
from clvkit.publish import assets, chapters
from clvkit.publish.blocks import STATUS_WORDS, chip
from clvkit.publish.sanitise import Sanitiser
from clvkit.publish.section import months_after
from clvkit.publish.words import inline_markdown
from clvkit.results import stopped_by, tally
from clvkit.runs import Run
from clvkit.store import sha256_file

WARN_BYTES, FAIL_BYTES = 2_000_000, 5_000_000
SUMMARY = "00_summary"

#: What a banner says about a run that is not complete, by state.
STATE_WORDS = {
    "failed": "a step failed",
    "died": "the process that computes was killed",
    "timed_out": "it took too long",
    "stopped_early": "a notebook ended before it was done",
    "interrupted": "it was interrupted",
}


def write_pages(
    folder: Path,
    manifest: dict[str, Any],
    results: dict[str, Any],
    checks: list[dict[str, Any]],
    sanitiser: Sanitiser,
) -> list[str]:
    """Render a run's notebooks into its two pages.

    Parameters
    ----------
    folder : the run's folder, with ``notebooks/*.ipynb`` executed and sanitised and ``results.json`` written.
    manifest : ``run.json``; its state decides about the banner.
    results, checks : ``results.json`` and ``checks.json``.
    sanitiser : keeps the machine's paths out.

    Returns
    -------
    Warnings: pages that are large.

    Raises
    ------
    RunError : a page would load something from elsewhere, name a path, or be larger than 5 MB.
    """
    notebooks = chapters.read(folder)
    shared = {
        "run": manifest,
        "checks": checks,
        "tally": tally(checks),
        "facts": _facts(folder, manifest),
        "banner": _banner(manifest, checks),
        "results": results,
        "rests_on": headline_of(Run(folder, manifest)) if manifest["state"] == "complete" else None,
    }
    pages = {
        "index.html": _page("report", notebooks, "chapter", shared),
        "audit.html": _page("audit", notebooks, "audit_chapter", shared),
    }
    warnings = []
    for name, html in pages.items():
        html = sanitiser.html(html)
        examine(html, name, sanitiser)
        (folder / name).write_text(html, "utf-8")
        if (size := len(html.encode())) > WARN_BYTES:
            warnings.append(f"{name} has {size / 1e6:.1f} MB; mail systems and browsers struggle above 2 MB")
    return warnings


def examine(html: str, name: str, sanitiser: Sanitiser) -> None:
    """Refuse a page that is not one self-contained, anonymous file."""
    page = _Examiner()
    page.feed(html)
    faults = list(page.faults)
    if page.headings != 1:
        faults.append(f"it has {page.headings} main headings instead of one")
    if found := sanitiser.finds(html):
        faults.append(f"it names a path of this machine ({found[0]})")
    if len(html.encode()) > FAIL_BYTES:
        faults.append(
            f"it has {len(html.encode()) / 1e6:.1f} MB, more than {FAIL_BYTES / 1e6:.0f}; show totals, "
            "not rows"
        )
    if faults:
        raise RunError(
            f"{name} cannot be published: " + "; ".join(faults[:5]),
            fix="correct the exhibit or the text that brings it in",
        )


class _Examiner(HTMLParser):
    """Looks for what would make a page load something or be unreadable to some."""

    def __init__(self):
        super().__init__()
        self.faults: list[str] = []
        self.headings = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.headings += tag == "h1"
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            address = (given.get(name) or "").strip()
            if name in given and not address.startswith("#"):
                self.faults.append(f"<{tag} {name}={address[:60]!r}> leads out of the file")
        if tag in ("script", "iframe", "object", "embed", "link", "base"):
            self.faults.append(f"it has a <{tag}>")
        if tag == "img" or (tag == "svg" and not given.get("aria-label")):
            self.faults.append(f"<{tag}> has no description")
        if re.search(r"url\(\s*['\"]?(?!#)", given.get("style") or ""):
            self.faults.append("a style loads something")


def _page(template: str, notebooks: dict[str, Any], chapter_template: str, shared: dict[str, Any]) -> str:
    made = [
        chapters.chapter(notebook, stem, chapter_template) for stem, notebook in sorted(notebooks.items())
    ]
    page = assets.environment().get_template(f"{template}.html.j2")
    return page.render(
        **shared,
        chapters=made,
        summary=next((one for one in made if one.stem == SUMMARY), None),
        css=_css(template, shared["run"]),
        chip=chip,
        words=inline_markdown,
        status_words=STATUS_WORDS,
        linked={one.stem: one.id for one in made},
    )


def _css(template: str, run: dict[str, Any]) -> str:
    footer = _css_text(
        f"Customer value · {run['title']} · as of {run['as_of']} · run {run['run_id'] or 'draft'}"
    )
    running = (
        "@media print { @page { @bottom-left { content: "
        + footer
        + "; font: 7.5pt sans-serif; color: #5b6675; } "
        '@bottom-right { content: counter(page) " / " counter(pages); font: 7.5pt sans-serif; '
        "color: #5b6675; } } }"
    )
    sheets = [assets.css("exhibits"), assets.css("page"), running]
    if template == "audit":
        sheets.append(assets.css("audit"))
    return "\n".join(re.sub(r"\s*\n\s*", "\n", sheet.replace("</", "<\\/")) for sheet in sheets)


def _css_text(text: str) -> str:
    return '"' + "".join(char if char.isprintable() and char not in '"\\<>' else " " for char in text) + '"'


def _facts(folder: Path, run: dict[str, Any]) -> dict[str, Any]:
    as_of = date.fromisoformat(run["as_of"])
    months = (run["resolved"].get("report") or {}).get("use_for_months")
    results = folder / "results.json"
    return {
        "as_of": date_words(as_of),
        "use_until": date_words(months_after(as_of, months))
        if months and run["state"] == "complete"
        else None,
        "preparer": run["resolved"].get("preparer"),
        "owner": run["resolved"].get("owner"),
        "results_sha256": sha256_file(results) if results.is_file() else None,
    }


def _banner(run: dict[str, Any], checks: Sequence[dict[str, Any]]) -> dict[str, str] | None:
    """What stands above everything else when the report must not be taken for a finished one."""
    if run["state"] == "draft":
        return {
            "kind": "draft",
            "title": "Draft. Do not use.",
            "text": "One chapter on its own, made to look at; it is not part of a published run.",
        }
    if run["state"] != "complete":
        stopped = run.get("stopped") or {}
        at = f" in {stopped['notebook']}" if stopped.get("notebook") else ""
        at += f", cell {stopped['cell']}" if stopped.get("cell") else ""
        return {
            "kind": "stop",
            "title": "This run did not finish. Do not use.",
            "text": f"It stopped{at}: {STATE_WORDS.get(run['state'], run['state'])}. What follows is what "
            "was done until then; the audit file of this run says more.",
        }
    failing = stopped_by(checks)
    if run.get("not_executed"):
        return {
            "kind": "stop",
            "title": "The data do not carry a value. This report gives none.",
            "text": " ".join(f"{check['message']} {check['recommendation']}".strip() for check in failing),
        }
    if failing:
        return {
            "kind": "stop",
            "title": "A control does not hold. Settle it before using the figures.",
            "text": " ".join(f"{check['title']}: {check['message']}" for check in failing),
        }
    return None
