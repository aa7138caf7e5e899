"""Contracts that are not written with their dates: known by how long they have run, or counted as survivors."""

from datetime import date

import ibis
import ibis.expr.types as ir
import pandas as pd

from clvkit.errors import DataError

#: What a snapshot may say of who has left.
LEFT, STAYED = (
    ("yes", "y", "true", "t", "1", "left", "churned"),
    ("no", "n", "false", "f", "0", "stayed", "active"),
)


def has_left(text: ir.StringValue) -> ir.BooleanValue:
    """Whether a snapshot says that a customer has left; null where it says neither."""
    word = text.strip().lower()
    return ibis.cases((word.isin(LEFT), True), (word.isin(STAYED), False), else_=ibis.null("boolean"))


def whole(number: ir.DecimalValue) -> ir.IntegerValue:
    """A tenure in whole months; null where it is none."""
    return ibis.ifelse(
        (number >= 0) & (number <= 1200) & (number == number.floor()), number.cast("int64"), None
    )


def dates_of_snapshot(
    tenure: ir.DecimalValue, left: ir.StringValue, extracted: date
) -> dict[str, ir.DateValue]:
    """First and last day of contracts that have run for ``tenure`` months on the day of the extract.

    Of who has left it is not known when: the last paid month is taken to have been over shortly before the extract. (The day
    before it, or a few days earlier: 30 September less seven months is 28 February, and seven months from there the 28th.)
    """
    months = whole(tenure).as_interval("M")
    start = (ibis.date(extracted) - months).cast("date")
    over = (start + months - ibis.interval(days=1)).cast("date")
    return {"start": start, "end": ibis.ifelse(has_left(left), over, ibis.null("date"))}


def of_survivors(rows: pd.DataFrame, extracted: date, months: int, name: str) -> pd.DataFrame:
    """One contract for each who began: of those who left, to the end of the last period that they paid for.

    Parameters
    ----------
    rows : ``age, survivors, plan, fee, file_no, row``; at age 0 stand those who began. ``age`` counts periods of ``months``.
    extracted : the day on which the oldest age was reached.

    Returns
    -------
    DataFrame : ``customer, contract, start, end, plan, fee, file_no, row``.

    Raises
    ------
    DataError : ages are not 0, 1, 2, …, or survivors become more.
    """
    parts, today = [], pd.Timestamp(extracted)
    for plan, group in rows.assign(plan=rows["plan"].fillna("all")).groupby("plan", sort=True):
        group = group.sort_values("age")
        counts, ages = group["survivors"].to_numpy(float), group["age"].to_numpy(float)
        if list(ages) != list(range(len(ages))):
            raise DataError(
                f"survivors of {plan} need one row for each age from 0 on (got {', '.join(f'{a:g}' for a in ages[:6])}, …)",
                place=name,
                fix="give who began at age 0, and one row for each period since",
            )
        if (counts != counts.round()).any() or (counts < 0).any():
            odd = counts[(counts != counts.round()) | (counts < 0)][0]
            raise DataError(
                f"survivors are counts of customers (got {odd:g} of {plan})",
                place=name,
                fix="multiply shares by the number who began",
            )
        if (counts[1:] > counts[:-1]).any():
            at = int((counts[1:] > counts[:-1]).argmax())
            raise DataError(
                f"survivors of {plan} become more: {counts[at]:g} at age {at}, {counts[at + 1]:g} at age {at + 1}",
                place=name,
                fix="list customers who began together, and nobody who came later",
            )
        last = len(ages) - 1
        start = today - pd.DateOffset(months=last * months)
        lost = (counts[:-1] - counts[1:]).astype(int)
        for age, number in [*enumerate(lost, start=1), (None, int(counts[-1]))]:
            end = pd.NaT if age is None else start + pd.DateOffset(months=age * months) - pd.Timedelta(days=1)
            said = group.iloc[last if age is None else age]
            parts.append(
                pd.DataFrame({"plan": plan, "start": start, "end": end, "fee": group["fee"].iloc[0],
                              "file_no": said["file_no"], "row": said["row"]}, index=range(number))
            )  # fmt: skip
    made = pd.concat(parts, ignore_index=True)
    number = (made.groupby("plan").cumcount() + 1).astype(str)
    return made.assign(customer=made["plan"] + " " + number, contract=made["plan"] + " " + number)
