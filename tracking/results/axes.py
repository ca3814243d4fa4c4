"""How all pictures look: colours, axes, and the bytes of a file. Drawn without a display."""

import io
from typing import TYPE_CHECKING, Final, Literal

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette: told apart by colour-blind readers and in print
BLUE: Final = "#0072B2"
ORANGE: Final = "#E69F00"
VERMILLION: Final = "#D55E00"
PALETTE: Final = (BLUE, VERMILLION, "#009E73", ORANGE, "#CC79A7", "#56B4E9", "#000000", "#F0E442")
INK: Final = "#333333"
_GRID: Final = "#DDDDDD"

Format = Literal["png", "svg"]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def picture(figure: Figure, form: Format = "png") -> bytes:
    """The file; the same figure gives the same bytes."""
    content = io.BytesIO()
    if form == "png":
        figure.savefig(content, format=form)
    else:
        with matplotlib.rc_context({"svg.hashsalt": "oplstm"}):  # names in it are random otherwise
            figure.savefig(content, format=form, metadata={"Date": None})
    return content.getvalue()


def dress(axes: "Axes", *, empty: str = "no points yet") -> None:
    """Grid, ticks and legend; ``empty`` is said where nothing was drawn."""
    axes.grid(visible=True, which="major", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)
    left, right = axes.get_xlim()
    axes.set_xlim(min(left, 0), max(right, 1))
    axes.xaxis.set_major_formatter(FuncFormatter(thousands))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    else:
        axes.text(0.5, 0.5, empty, transform=axes.transAxes, ha="center", color=INK)


def make_logarithmic(axes: "Axes") -> None:
    """A logarithmic axis of losses, with figures that a person reads."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high / low < 4:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    else:
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 300 else (1.0,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def thousands(value: float, _: object) -> str:
    """A formatter of ticks."""
    return f"{value:,.0f}"
