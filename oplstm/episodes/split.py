"""What a block of tasks is for."""

from enum import IntEnum


class Split(IntEnum):
    """What a block of tasks is for. Streams of different splits never share a task, whatever their seeds."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2
    PROMOTION_A = 3
    PROMOTION_B = 4
    FINAL_TRAIN = 5
    FINAL_VALIDATION = 6
    FINAL_TEST = 7

    @property
    def classes(self) -> str:
        """The part of a dataset's classes that its tasks are made of: ``train``, ``val`` or ``test``."""
        if self in (Split.TRAIN, Split.FINAL_TRAIN):
            return "train"
        return "test" if self in (Split.TEST, Split.FINAL_TEST) else "val"
