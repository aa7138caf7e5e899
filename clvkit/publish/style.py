"""The one look of all figures: history solid, forecast dashed or hatched, labels on the data."""

from collections.abc import Iterator
from contextlib import contextmanager

INK, MUTED, RULE = "#1c2430", "#5b6675", "#d5dae1"
#: Hues that stay apart for colour-blind readers and in grey print; use them in this order.
PALETTE = ("#1f4e79", "#b3541e", "#3f7f6e", "#8a6d9e", "#7a7a7a")
_MAIN = PALETTE[0]

#: Lines, as keywords of ``axes.plot``.
HISTORY = {"color": _MAIN, "linestyle": "-", "linewidth": 1.8}
FORECAST = {"color": _MAIN, "linestyle": (0, (4, 2)), "linewidth": 1.8}
PREVIOUS = {"color": "#9db2c7", "linestyle": "-", "linewidth": 1.8}
#: An interval around a line, as keywords of ``axes.fill_between``.
BAND = {"facecolor": _MAIN, "alpha": 0.14, "linewidth": 0}
#: Bars, as keywords of ``axes.bar`` and ``axes.barh``.
HISTORY_BAR = {"facecolor": _MAIN, "edgecolor": _MAIN, "linewidth": 0.8}
FORECAST_BAR = {"facecolor": "#ffffff", "edgecolor": _MAIN, "hatch": "/////", "linewidth": 0.8}
PREVIOUS_BAR = {"facecolor": "#c4d1de", "edgecolor": "#9db2c7", "linewidth": 0.8}

_RC = {
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "xtick.major.width": 0.7,
    "text.color": INK,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "hatch.linewidth": 0.7,
    "lines.solid_capstyle": "round",
    # the same bytes for the same drawing
    "svg.hashsalt": "clvkit",
    "svg.fonttype": "none",
    "path.simplify": True,
}


@contextmanager
def canvas(*, width: float = 7.2, height: float = 3.3, columns: int = 1, **subplots) -> Iterator[tuple]:
    """A figure and its axes in the house style, to be drawn on inside the ``with`` block.

    Parameters
    ----------
    width, height : in inches; the page shows 7.2 inches as the width of its text.
    columns : panels side by side; with more than one, the axes come as an array.
    subplots : more keywords of ``Figure.subplots``.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_RC):
        drawing = Figure(figsize=(width, height))
        yield drawing, drawing.subplots(1, columns, **subplots)


@contextmanager
def house() -> Iterator[None]:
    """The settings that figures are drawn and saved with."""
    import matplotlib

    with matplotlib.rc_context(_RC):
        yield


def label(axes, x, y, text: str, *, color: str = INK, dx: float = 5, dy: float = 0, ha: str = "left") -> None:
    """Name a line or a bar where it is, instead of in a legend. ``dx`` and ``dy`` are in points."""
    axes.annotate(
        text,
        (x, y),
        xytext=(dx, dy),
        textcoords="offset points",
        color=color,
        ha=ha,
        va="center",
        fontsize=9,
        annotation_clip=False,
    )


def horizontal(axes) -> None:
    """Settle the axes of a horizontal bar chart: first bar on top, rules along the values."""
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.grid(True, axis="x")
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="x", length=0)
    axes.tick_params(axis="y", labelcolor=INK)


def percent_axis(axis, decimals: int = 0) -> None:
    """Write the ticks of an axis of fractions as per cent."""
    axis.set_major_formatter(lambda value, _: f"{100 * value:.{decimals}f} %")


def thousands_axis(axis, decimals: int = 0) -> None:
    """Write the ticks of an axis with separators between thousands."""
    axis.set_major_formatter(lambda value, _: f"{value:,.{decimals}f}".replace("-", "\N{MINUS SIGN}"))
