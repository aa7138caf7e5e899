"""The smaller blocks of a report: headline, facts, checks."""

from collections.abc import Sequence
from html import escape

from clvkit.checks import Check
from clvkit.exhibits import Facts, Headline, Sentence
from clvkit.publish.words import inline_markdown, prose_html

#: What the states of a check are called, in the order readers need them.
STATUS_WORDS = {"fail": "fail", "review": "review", "pass": "pass", "info": "note"}


def headline_html(headline: Headline) -> str:
    """The answer, in the largest type after the title."""
    return f'<div class="clv clv-headline">{prose_html(headline.text)}</div>'


def sentence_html(sentence: Sentence) -> str:
    """Prose made from numbers."""
    return f'<div class="clv clv-prose">{prose_html(sentence.text)}</div>'


def facts_html(facts: Facts) -> str:
    """Facts as a grid of terms and what is to be known about them."""
    items = "".join(
        f"<div><dt>{inline_markdown(term)}</dt><dd>{inline_markdown(fact)}</dd></div>"
        for term, fact in facts.items.items()
    )
    return f'<dl class="clv clv-facts">{items}</dl>'


def chip(status: str) -> str:
    """The status of a check as a small mark; it is a word and not only a colour."""
    return f'<span class="chip chip-{escape(status)}">{STATUS_WORDS.get(status, escape(status))}</span>'


def checks_html(checks: Sequence[Check]) -> str:
    """Checks as a list, those that need a reader first, each with what to do about it."""
    order = list(STATUS_WORDS)
    ranked = sorted(checks, key=lambda check: order.index(check.status))
    return '<ul class="clv clv-checks">' + "".join(_check(check) for check in ranked) + "</ul>"


def _check(check: Check) -> str:
    advice = (
        f' <span class="advice">{inline_markdown(check.recommendation)}</span>'
        if check.recommendation
        else ""
    )
    return (
        f"<li>{chip(check.status)}<div><strong>{inline_markdown(check.title)}</strong> "
        f"{inline_markdown(check.message)}{advice}</div></li>"
    )
