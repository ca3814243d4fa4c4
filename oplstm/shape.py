"""Shapes in signatures: ``Annotated[Tensor, Shape("R B M d")]``, one grammar with one meaning a letter.

==============  =====================================================================================
``R B M d``     one axis each; a letter that occurs twice in a call has one size throughout it
``3``           an axis of that size
``_``           an axis of any size
``h//2``        half the size of h, rounded down
``B?``          an axis that may be absent
``#M``          an axis as long as M, or of size 1 and broadcast
``*x``          any number of axes, the same wherever x is named; ``#*x``: each may be of size 1 as well
``...``         any number of axes of any size
==============  =====================================================================================

A tuple, a list, a mapping and a named tuple are their parts, in the same call. A dataclass with shaped fields is an
object of its own, whose letters have nothing to do with the call's, unless it is annotated too: then the given axes
stand where its fields say ``*axes``, and its other letters are the call's. So ``Annotated[Episode, Shape("R B")]`` has
the R, B, M and Q of the call that it takes part in.

A program pays nothing for this: no line of the package looks at a shape. Where the tests run, every annotated function
is checked in every call (``tests/oplstm/shape_check.py``).
"""

from dataclasses import dataclass

LETTERS = {
    "R": "runs side by side in a pack",
    "B": "tasks of a meta-batch",
    "M": "examples of a task: of its support set, where there are queries too",
    "Q": "queries of a task",
    "N": "classes of a task",
    "P": "trained parameters of a run",
    "G": "groups of tasks in a pack; n of one run",
    "n": "groups of tasks of one run",
    "g": "tasks of a group",
    "S": "hidden units x tasks of all runs of a pack, in one layer",
    "slabs": "equal parts that stand apart: the four gates",
    "W": "meta-batches in a window of coming ones",
    "tasks": "tasks of an evaluation",
    "rows": "the runs of a pack that are asked for",
    "d": "features; d_x of an input, d_y of a target, d_in and d_out of a layer",
    "d_x": "features of an input",
    "d_y": "features of a target: classes are one-hot",
    "d_in": "features that enter a layer",
    "d_out": "features that leave it",
    "d_extra": "features that stand beside those of an input",
    "c": "channels of a picture",
    "c_in": "channels that enter a convolution",
    "c_out": "channels that leave it",
    "h": "height",
    "w": "width",
    "x": "axes of an input: d_x, or c h w of a picture",
    "space": "h w of feature maps; none of features",
    "columns": "axes that a cell treats alike: tasks, examples and nodes",
    "axes": "those that the annotation of a dataclass gives",
    "rest": "whatever follows",
}
"""What the letters mean, in every signature."""


@dataclass(frozen=True)
class Shape:
    """The axes of a tensor or an array, for ``Annotated``.

    Args:
        axes: In the grammar above, separated by spaces.
    """

    axes: str
