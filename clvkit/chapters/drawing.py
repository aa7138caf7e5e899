"""Drawings that several chapters use."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit.publish import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def label_ends(axes: "Axes", ends: Sequence[tuple[float, str, str]], x: float) -> None:
    """Name lines at the right edge ``x``; labels that would overlap are moved apart.

    ``ends`` are (y, text, colour) of each line. Call it when the limits of the y axis are settled.
    """
    low, high = axes.get_ylim()
    least = (high - low) * 0.065
    ordered = sorted(ends)
    places: list[float] = []
    for y, _, _ in ordered:
        places.append(max(y, places[-1] + least) if places else y)
    # moving apart went upwards only: take half of it back, so that the labels surround their lines
    back = (places[-1] - ordered[-1][0]) / 2 if ordered else 0
    for place, (_, text, colour) in zip(places, ordered, strict=True):
        style.label(axes, x, place - back, text, color=colour)


def triangle(
    values: pd.DataFrame, text: Callable[[float], str], x_label: str, *, last_apart: bool = False
) -> "Figure":
    """Cells shaded by value with the number in each; NaN stays blank.

    Parameters
    ----------
    values : one row per line, one column per cell; index and columns are the labels.
    text : writes the number in a cell.
    x_label : what the columns are.
    last_apart : set the last row, a total, apart from the others.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    cells = values.to_numpy(float)
    rows, columns = cells.shape
    top = np.nanmax(cells, initial=0) or 1
    # light enough at its dark end for dark numbers to be read everywhere
    shades = LinearSegmentedColormap.from_list("clvkit", ["#f4f7fa", "#86a9c9"])
    places = np.arange(rows, dtype=float)
    if last_apart:
        places[-1] += 0.4
    size = 7.5 if columns < 20 else 6
    with style.canvas(height=0.75 + 0.24 * (rows + 1)) as (drawing, axes):
        for place, row in zip(places, cells, strict=True):
            for column, value in enumerate(row):
                if not np.isnan(value):
                    axes.add_patch(
                        Rectangle(
                            (column - 0.5, place - 0.5),
                            1,
                            1,
                            facecolor=shades(value / top),
                            edgecolor="#ffffff",
                            linewidth=1,
                        )
                    )
                    axes.text(column, place, text(value), ha="center", va="center", fontsize=size)
        axes.set_xlim(-0.5, max(columns, 6) - 0.5)
        axes.set_ylim(places[-1] + 0.5, -0.5)
        axes.set_yticks(places, values.index)
        axes.set_xticks(range(columns), values.columns)
        axes.set_xlabel(x_label)
        axes.grid(False)
        axes.tick_params(length=0)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
    return drawing
