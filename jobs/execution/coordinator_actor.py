"""The coordinator as an actor of Ray, in a module of its own, so that its process does not import Ray Tune."""

from jobs.execution.home_end import HomeEnd
from jobs.execution.shipped_plugins import ShippedPlugins
from jobs.store.home import SweepFolder
from tracking.server.access import Access


class Coordinator(HomeEnd):
    """One that is made in a process which has imported the sweep's plug-ins: by unpickling them.

    Its process is called `ray::Coordinator`.
    """

    def __init__(self, plugins: ShippedPlugins, folder: SweepFolder, access: Access) -> None:
        super().__init__(folder, access)
