"""The challenger: machines that learn from features, tried on the hold-out of the latest back-test beside everything else.

A machine wins only if its squared error per customer is below that of the best process and of the best simple rule, by more
than chance: the interval of the difference, over customers drawn anew, must exclude zero, at a level that allows for there
being two machines. Otherwise the probability model stays: it needs no features, explains itself, and gives intervals.
"""

import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit.elastic_net import deviance
from clvkit.paired import draws_of_means, interval_of
from clvkit.time_split import LABELS, OUTCOMES, Machine, Snapshot, Split, train

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.challenger_section import ChallengerSection

MACHINES = ("elastic_net", "boosting")
PERMUTATIONS = 10
SHOWN_DRIVERS = 12


@dataclass(frozen=True)
class Rival:
    """A forecast of each customer of the hold-out: ``purchases`` and ``revenue`` (customers,), in the snapshot's order.

    ``kind`` is ``machine``, ``process``, ``rule`` or ``mean``.
    """

    name: str
    label: str
    kind: str
    purchases: np.ndarray
    revenue: np.ndarray


@dataclass(frozen=True)
class Challenge:
    """What came of the challenge.

    Attributes
    ----------
    origin, end, customers : of the hold-out; ``learned_from, learned_to`` of the window before it that machines were trained on, and
        ``chosen_from`` where the one began on which it was chosen how much they learn.
    board : one row a rival: ``name, label, kind, purchases, bias, mae, rmse, revenue, bias_value, rmse_value`` (biases None
        where nothing came), ``gain, low, high``: the share of the squared error of the best rival that is no machine which it
        takes away, with an interval (NaN for that rival itself).
    best_other : name of that rival.
    winner : the machine that won, None where none did. ``best_machine`` has the least error of them.
    settings : how each machine learns, in words, for ``decide_on``.
    coefficients : ``feature, words, coefficient, times`` (what one standard deviation more multiplies the forecast by), of the
        elastic net, largest first.
    importance : ``feature, words, rise, low, high``: share by which the deviance of the best machine rises when a feature is
        shuffled among the customers of the hold-out; largest first.
    feasibility : see `clvkit.feature_gain.feasibility`.
    refused : why nothing could be tried, in words; the rest is then empty.
    """

    origin: date | None
    end: date | None
    customers: int = 0
    learned_from: date | None = None
    learned_to: date | None = None
    chosen_from: date | None = None
    decide_on: str = "purchases"
    interval: float = 0.9
    board: "pd.DataFrame | None" = None
    best_other: str = ""
    best_machine: str = ""
    winner: str | None = None
    settings: dict[str, str] | None = None
    offered: int = 0
    coefficients: "pd.DataFrame | None" = None
    importance: "pd.DataFrame | None" = None
    feasibility: "pd.DataFrame | None" = None
    refused: str = ""

    def row(self, name: str) -> "pd.Series":
        """The line of a rival."""
        return self.board.set_index("name").loc[name]

    @property
    def best_on_revenue(self) -> str:
        """The machine with the least error of revenue per customer."""
        learned = self.board[self.board["kind"] == "machine"].set_index("name")["rmse_value"]
        return str(learned.idxmin())

    def to_json(self) -> dict:
        """The challenge as ``results.json`` holds it."""
        made = {name: value for name, value in asdict(self).items() if name not in _FRAMES}
        for name in _FRAMES:
            frame = getattr(self, name)
            made[name] = None if frame is None else frame.astype(object).where(frame.notna(), None).to_dict("records")  # fmt: skip
        return made

    def save(self, folder: Path) -> None:
        """Write the tables as Parquet and the rest as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        made = {name: value for name, value in asdict(self).items() if name not in _FRAMES}
        made |= {name: made[name] and made[name].isoformat() for name in _DAYS}
        for name in _FRAMES:
            if (frame := getattr(self, name)) is not None:
                frame.to_parquet(folder / f"{name}.parquet", index=False)
        (folder / "challenge.json").write_text(json.dumps(made), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Challenge":
        """Read what `save` wrote."""
        import pandas as pd

        made = json.loads((folder / "challenge.json").read_text(encoding="utf-8"))
        made |= {name: made[name] and date.fromisoformat(made[name]) for name in _DAYS}
        frames = {
            name: pd.read_parquet(folder / f"{name}.parquet")
            for name in _FRAMES
            if (folder / f"{name}.parquet").exists()
        }
        return cls(**made, **frames)


_FRAMES = ("board", "coefficients", "importance", "feasibility")
_DAYS = ("origin", "end", "learned_from", "learned_to", "chosen_from")


def machines(parts: Split, section: "ChallengerSection") -> dict[str, dict[str, Machine]]:
    """Every machine and the mean without features, by name and outcome, trained before the origin of ``parts.test``."""
    asked = {"most": section.max_features, "seed": section.seed}
    return {name: {one: train(parts, one, name, **asked) for one in OUTCOMES} for name in (*MACHINES, "mean")}


def challenge(parts: Split, others: list[Rival], section: "ChallengerSection") -> Challenge:
    """Train the machines and compare them with ``others``, the processes and simple rules, on ``parts.test``."""
    from clvkit.feature_gain import feasibility

    trained = machines(parts, section)
    values, outcomes = parts.test.features.values, parts.test.outcomes
    rivals = [
        Rival(name, LABELS[name], "mean" if name == "mean" else "machine", *(made[one].predict(values) for one in OUTCOMES))
        for name, made in trained.items()
    ]  # fmt: skip
    rivals += others
    board, best_other, best_machine, winner = leaderboard(rivals, outcomes, section)
    machine = trained[best_machine][section.decide_on]
    return Challenge(
        origin=parts.test.origin,
        end=parts.test.end,
        customers=len(outcomes),
        learned_from=parts.train.origin,
        learned_to=parts.train.end,
        chosen_from=parts.tune.origin,
        decide_on=section.decide_on,
        interval=section.interval,
        board=board,
        best_other=best_other,
        best_machine=best_machine,
        winner=winner,
        settings={name: trained[name][section.decide_on].setting for name in MACHINES},
        offered=values.shape[1],
        coefficients=coefficients(trained["elastic_net"][section.decide_on], parts.train),
        importance=importance(machine, parts.test, section),
        feasibility=feasibility(parts, section),
    )


def leaderboard(
    rivals: list[Rival], outcomes: "pd.DataFrame", section: "ChallengerSection"
) -> "tuple[pd.DataFrame, str, str, str | None]":
    """The board (see `Challenge`), the best rival that is no machine, the best machine, and the winner if a machine won.

    Without a process or rule to compare with, the mean without features is the best other.
    """
    import pandas as pd

    from clvkit.accuracy import share

    actual = {name: outcomes[name].to_numpy(float) for name in OUTCOMES}
    rows, squared = [], []
    for one in rivals:
        off = one.purchases - actual["purchases"]
        money = one.revenue - actual["revenue"]
        rows.append({
            "name": one.name, "label": one.label, "kind": one.kind, "purchases": one.purchases.sum(),
            "bias": share(off.sum(), actual["purchases"].sum()), "mae": np.abs(off).mean(), "rmse": np.sqrt((off**2).mean()),
            "revenue": one.revenue.sum(), "bias_value": share(money.sum(), actual["revenue"].sum()),
            "rmse_value": np.sqrt((money**2).mean()),
        })  # fmt: skip
        squared.append((off if section.decide_on == "purchases" else money) ** 2)
    board = pd.DataFrame(rows)
    losses = np.column_stack(squared)
    mean = losses.mean(axis=0)
    kinds = board["kind"].to_numpy()
    settled = (
        np.isin(kinds, ["process", "rule"]) if np.isin(kinds, ["process", "rule"]).any() else kinds == "mean"
    )
    reference = int(np.argmin(np.where(settled, mean, np.inf)))
    learned = kinds == "machine"
    best = int(np.argmin(np.where(learned, mean, np.inf)))
    drawn = draws_of_means(losses, section.bootstrap, section.seed)
    gains = 1 - drawn / np.maximum(drawn[:, [reference]], 1e-300)
    level = 1 - (1 - section.interval) / max(int(learned.sum()), 1)
    low, high = interval_of(gains, level)
    board["gain"] = 1 - mean / mean[reference] if mean[reference] > 0 else np.nan
    board["low"], board["high"] = low, high
    board.loc[reference, ["gain", "low", "high"]] = np.nan
    board = board.sort_values(
        "rmse" if section.decide_on == "purchases" else "rmse_value", kind="stable", ignore_index=True
    )
    names = [one.name for one in rivals]
    return board, names[reference], names[best], names[best] if low[best] > 0 else None


def coefficients(machine: Machine, learned: Snapshot) -> "pd.DataFrame":
    """What each feature does in the elastic net: its coefficient for one standard deviation, and the factor it makes."""
    import pandas as pd

    columns = ["feature", "words", "coefficient", "times"]
    if machine.net is None:
        return pd.DataFrame(columns=columns).astype({"coefficient": float, "times": float})
    frame = pd.DataFrame({"feature": machine.columns, "words": words_of(learned, machine.columns),
                          "coefficient": machine.net.coefficients})  # fmt: skip
    frame = frame[frame["coefficient"] != 0].assign(times=lambda t: np.exp(t["coefficient"]))
    return frame.sort_values("coefficient", key=np.abs, ascending=False, ignore_index=True)


def importance(machine: Machine, test: Snapshot, section: "ChallengerSection") -> "pd.DataFrame":
    """By how much the deviance rises on the hold-out when one feature is shuffled among its customers (Breiman 2001).

    Features that say the same stand in for each other, so that each of them looks unimportant.
    """
    import pandas as pd

    values, actual = test.features.values, test.outcomes[section.decide_on].to_numpy(float)
    own = deviance(actual, machine.predict(values))
    rng, made = np.random.default_rng(section.seed), []
    for name in machine.columns:
        rise = np.zeros(len(actual))
        for _ in range(PERMUTATIONS):
            shuffled = values.assign(**{name: rng.permutation(values[name].to_numpy())})
            rise += deviance(actual, machine.predict(shuffled)) - own
        made.append(rise / PERMUTATIONS)
    columns = ["feature", "words", "rise", "low", "high"]
    if not made:
        return pd.DataFrame(columns=columns).astype({name: float for name in columns[2:]})
    each = np.column_stack([own, *made])
    drawn = draws_of_means(each, section.bootstrap, section.seed)
    low, high = interval_of(drawn[:, 1:] / drawn[:, [0]], section.interval)
    rise = each[:, 1:].mean(axis=0) / own.mean()
    frame = pd.DataFrame({"feature": machine.columns, "words": words_of(test, machine.columns), "rise": rise,
                          "low": low, "high": high})  # fmt: skip
    return frame.sort_values("rise", ascending=False, ignore_index=True)


def words_of(snapshot: Snapshot, columns: "tuple[str, ...]") -> list[str]:
    """What each column of a feature table is, for readers."""
    by = {column: one for one in snapshot.features.variables.values() for column in one.columns}
    return [
        by[name].words
        if len(by[name].columns) == 1
        else f"{by[name].name} is {name.partition('=')[2]}"
        if "=" in name
        else f"{by[name].words}{' is missing' if name.endswith('_missing') else ''}"
        for name in columns
    ]
