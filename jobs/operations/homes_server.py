"""The MLflow server that the sweeps of a home track to, for verbs that name no sweep."""

from dataclasses import dataclass

from jobs.operations.family import headers
from jobs.store.header import Header
from jobs.store.home import Home


@dataclass(frozen=True)
class HomesServer:
    """A server, and why it is this one.

    Attributes:
        uri: Of it; None for the embedded one.
        why: For a person.
    """

    uri: str | None
    why: str

    @classmethod
    def of(cls, home: Home, chosen: str | None, header: Header | None = None) -> "HomesServer":
        """The server that was chosen, else that of a sweep, else that of the newest sweep of a home.

        Args:
            home: The home.
            chosen: By option or environment.
            header: Of the sweep that is asked for, if there is one.

        Raises:
            RequestError: The sweep tracks to a server that this user never named.
        """
        found = list(headers(home)) if header is None else []
        sweep = header or (found[-1][1] if found else None)
        if header is None and chosen is not None:
            return cls(chosen, "as it was named")
        if sweep is None:
            return cls(None, "the one of this home, which has no sweep yet")
        from jobs.operations.trust import server_of  # imports torch

        newest = "" if header is not None else ", the newest sweep here; --tracking-uri names another"
        return cls(server_of(sweep, chosen), f"that of {sweep.name}{newest}")


def servers_in_use(home: Home) -> dict[str | None, int]:
    """The servers that the sweeps of a home track to, None for the embedded one, and how many do."""
    found: dict[str | None, int] = {}
    for _, header in headers(home):
        found[header.tracking_uri] = found.get(header.tracking_uri, 0) + 1
    return found
