"""The plug-ins of a sweep on disk: what they bring is known when its header is read, and none of their code is run."""

import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from jobs.jobfile.plugins import PluginSource, find_code, is_loaded, load_code, offer
from jobs.store.known import KnownPlugins
from oplstm.errors import RequestError


def offer_plugins(sources: Iterable[PluginSource], *, of: str) -> None:
    """Let the names that the plug-ins of sweep ``of`` bring be known; one is imported when a name of its is looked up.

    No code is run that its user never named: a header alone, which may be somebody else's, cannot have that done.
    """
    for source in sources:
        offer(source, partial(_load, source, of))


def take_plugin(source: PluginSource, *, of: str) -> PluginSource:
    """Import a plug-in of sweep ``of`` from where it is found, or else from where it was.

    Raises:
        RequestError: It is not there, fails, or is code that its user never named.
    """
    place = str(_folder(source))
    if source.plugin != source.path and place not in sys.path and Path(source.path).is_file():
        sys.path.append(place)
    try:
        code = find_code(source.plugin)
    except RequestError as error:
        raise RequestError(f"{of} was made with the plug-in {source.path}, and now: {error}") from error
    if (path := str(code.path.resolve())) not in KnownPlugins():
        raise RequestError(
            f"{of} was made with the plug-in {path}, which was never named here; if it is code of yours: "
            f"oplstm resume {of} --trust"
        )
    return load_code(code)


def _load(source: PluginSource, of: str) -> None:
    if source.package is not None:
        raise RequestError(f"{of} was made with {not_installed(source)}")
    if not is_loaded(source.plugin):
        take_plugin(source, of=of)
    missing = [name for registry, name in source.entries() if name not in registry.registered]
    if missing:
        raise RequestError(f"the plug-in {source.path} of {of} no longer registers {', '.join(missing)}")


def not_installed(source: PluginSource) -> str:
    """What an installed package declared, and that it is not there."""
    return f"the {' and the '.join(source.brings)} of {source.package}, which is not installed here: install it"


def _folder(source: PluginSource) -> Path:
    """Where Python finds the module of a plug-in that is named as one."""
    path, depth = Path(source.path), len(source.plugin.split("."))
    return path.parents[depth if path.name == "__init__.py" else depth - 1]
