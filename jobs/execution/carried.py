"""What a node that does not see the home and the coordinator say to each other about files.

A place is the path of a folder in the sweep's own: ``packs/pack-0000/update-40``, ``trials/trial-0001``.
"""

from dataclasses import dataclass
from typing import Final

from jobs.sweep.messages import StartedPack

PIECE_BYTES: Final = 16 << 20
"""Of a file at once, so that neither memory nor the coordinator's time depends on how large it is."""


class Refused(Exception):
    """What a try has sent, or asks for, is not for it; another try of its pack may go on."""


@dataclass(frozen=True)
class Try:
    """A process that trains a pack, told apart from those that tried it before.

    Attributes:
        pack: Its name.
        number: The later the higher.
    """

    pack: str
    number: int


@dataclass(frozen=True)
class FarStart:
    """A pack whose training begins far from the home.

    Attributes:
        started: The pack, which the home has already seen to: what it goes on from is its own checkpoint.
        own: Its try.
        checkpoint: The place of what it goes on from; None if it begins.
    """

    started: StartedPack
    own: Try
    checkpoint: str | None


@dataclass(frozen=True)
class Piece:
    """Where in a file a piece of it belongs.

    Attributes:
        place: Of its folder.
        file: Its name.
        offset: Its first byte.
    """

    place: str
    file: str
    offset: int
