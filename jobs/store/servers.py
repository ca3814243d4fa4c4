"""The MLflow servers that this user has named: a folder of results alone cannot have records sent anywhere."""

from jobs.store.known import Known


class KnownServers(Known):
    """Their URIs, in ``servers.json``."""

    what = "servers"
