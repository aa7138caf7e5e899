"""What the peers' scripts share: reading into pandas, and what tells whether two summaries are the same."""

import pandas as pd
import pyarrow.parquet as pq


def typed_log(job):
    """The order log with numbers for customers and datetimes for days: as clean as a frame can be."""
    return pq.read_table(job.files["log.parquet"]).to_pandas(date_as_object=False)


def read_parquet(job):
    return lambda: {"rows": len(typed_log(job))}


def read_csv(job):
    return lambda: {"rows": len(pd.read_csv(job.files["log.csv"], parse_dates=["date"]))}


def customers_of(job):
    """One row per customer: times in weeks, mean repeat spend in dollars."""
    columns = ["customer_id", "frequency", "recency", "T", "monetary_value"]
    return pd.read_parquet(job.files["summary.parquet"], columns=columns)


def totals(frame):
    """Sums over the columns of a summary."""
    return {
        "customers": len(frame),
        "purchases": float(frame["frequency"].sum()),
        "recency_weeks": float(frame["recency"].sum()),
        "T_weeks": float(frame["T"].sum()),
        "spend": float((frame["monetary_value"] * frame["frequency"]).sum()),
    }
