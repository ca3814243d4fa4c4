"""Starting a sweep on Ray Tune, and trainings and final runs on this machine without it."""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.execution.devices import require_local_gpu, slots_here
from jobs.execution.in_process import run_in_process
from jobs.jobfile.plugins import sources_for
from jobs.jobfile.schema import Job
from jobs.jobfile.space_source import SpaceSource, check_working_directory
from jobs.operations.requirements import benchmarks_of, check_data, disk_bytes
from jobs.operations.room import full_disk_named
from jobs.operations.running import Outcome, owned
from jobs.operations.tracking_server import tracking_server
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.known import KnownPlugins
from jobs.store.provenance import provenance
from jobs.store.scores import final_result
from jobs.store.servers import KnownServers
from jobs.store.state import SweepState
from jobs.store.states import SweepKind
from jobs.sweep.messages import OnProgress
from tracking.server.access import without_credentials

if TYPE_CHECKING:
    from jobs.execution.nodes import Nodes


@dataclass(frozen=True)
class NewSweep:
    """What is to be started.

    Attributes:
        job: Its job, checked.
        name: Of its folder.
        kind: What it is.
        experiment: Name of the MLflow experiment.
        tracking_uri: Of the MLflow server; None for the embedded one.
        of: For a final run, the id of the sweep whose winner it trains.
    """

    job: Job
    name: str
    kind: SweepKind
    experiment: str
    tracking_uri: str | None = None
    of: str | None = None

    def check(self, home: Home) -> SweepFolder:
        """The folder that it will have, after seeing that its data are there, its name is free and its disk has room.

        Raises:
            RequestError: Something of that is not so.
        """
        SpaceSource.of(self.job.space)
        sources_for(self.job)
        check_data(self.job, home.data)
        home.check_writable(disk_bytes(self.job))
        return home.new_sweep(self.name)

    def create(self, folder: SweepFolder) -> None:
        """Make its folder."""
        uri = None if self.tracking_uri is None else without_credentials(self.tracking_uri)
        if uri is not None:
            KnownServers().add(uri)
        plugins = sources_for(self.job)
        for source in plugins:
            if source.package is None:
                KnownPlugins().add(source.path)
        Header(
            id=uuid.uuid4().hex,
            name=self.name,
            kind=self.kind,
            experiment=self.experiment,
            job=self.job,
            measure=self.job.measure,
            tracking_uri=uri,
            provenance=provenance(),
            of=self.of,
            space_source=SpaceSource.of(self.job.space),
            plugins=plugins,
        ).write(folder)


@contextlib.contextmanager
def cluster_and_server(home: Home, *, uri: str | None, ray_address: str | None, job: Job) -> Iterator[str]:
    """A Ray cluster on which packs have room, and the URI to track to, in here.

    Raises:
        RequestError: One of them does not answer, the cluster lacks what a pack needs, a node of it lacks this
            oplstm, the job's data or the home, or this was called from within a folder of results.
    """
    from jobs.execution import cluster  # Ray takes seconds to import

    check_working_directory()
    cluster.check_answers(ray_address)
    with tracking_server(home, uri) as tracking_uri, cluster.connected(ray_address, job.resources):
        _nodes(home, job).check()
        yield tracking_uri


def _nodes(home: Home, job: Job) -> "Nodes":
    from jobs.execution.nodes import Need, nodes_with
    from jobs.execution.shipped_plugins import ShippedPlugins

    return nodes_with(Need(ShippedPlugins.of(sources_for(job)), home.data, benchmarks_of(job)))


def start_on_ray(home: Home, new: NewSweep, *, ray_address: str | None, progress: OnProgress) -> Outcome:
    """Run a new sweep on Ray Tune.

    Args:
        home: Where.
        new: The sweep.
        ray_address: Of a cluster; None starts a local Ray.
        progress: Shows it.

    Raises:
        RequestError: The cluster lacks what the job asks for, a server does not answer, or the name is taken.
        WorkError: The sweep failed.
    """
    folder = new.check(home)
    means = cluster_and_server(home, uri=new.tracking_uri, ray_address=ray_address, job=new.job)
    with means as tracking_uri:
        new.create(folder)
        with owned(folder):
            return run_on_cluster(folder, tracking_uri, progress)


def run_on_cluster(folder: SweepFolder, tracking_uri: str, progress: OnProgress) -> Outcome:
    """Run a sweep on the connected cluster until it has ended or stopped."""
    from jobs.execution.on_ray import run_on_ray
    from jobs.operations.reporting.tracked import track_report  # imports what draws

    job = Header.read(folder).job
    with full_disk_named(folder, job):
        nodes = _nodes(Home(folder.home), job)
        last, waiting = run_on_ray(folder, job.resources, nodes=nodes, tracking_uri=tracking_uri, on_progress=progress)
    return Outcome(folder, last, max(waiting, track_report(folder, tracking_uri, wait=not waiting)))


def start_here(home: Home, new: NewSweep, *, progress: OnProgress) -> Outcome:
    """Run a new training or final run on this machine, without Ray.

    Raises:
        RequestError: A GPU is asked for that is not there, a server does not answer, or the name is taken.
        WorkError: It failed.
    """
    require_local_gpu(new.job.resources.gpus)
    folder = new.check(home)
    with tracking_server(home, new.tracking_uri) as tracking_uri:
        new.create(folder)
        with owned(folder):
            return run_here(folder, tracking_uri, progress)


def run_here(folder: SweepFolder, tracking_uri: str, progress: OnProgress) -> Outcome:
    """Run a training or final run on this machine until it has ended or stopped."""
    header = Header.read(folder)
    with full_disk_named(folder, header.job):
        last, waiting = run_in_process(folder, tracking_uri, progress, slots=slots_here(header.job.resources))
    return Outcome(folder, last, waiting, final_result(folder, SweepState.of(folder, header)))
