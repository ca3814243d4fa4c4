"""Plug-ins: code of the user's own that registers learners, benchmarks, analyses and spaces when it is imported."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass as record
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Final

from pydantic import Field
from pydantic.dataclasses import dataclass

from jobs.jobfile.schema import Job
from jobs.jobfile.source_digest import source_digest
from jobs.jobfile.space_source import check_files_outside_homes
from oplstm.analysis.registry import ANALYSES
from oplstm.episodes.registry import BENCHMARKS
from oplstm.errors import RequestError, one_line, shown
from oplstm.learners.registry import LEARNERS
from oplstm.registry import Registry, place_of
from search_spaces.own import sources_of
from search_spaces.spaces import SPACES

REGISTRIES: Final[Mapping[str, Registry[Any]]] = {
    "learner": LEARNERS,
    "benchmark": BENCHMARKS,
    "analysis": ANALYSES,
    "space": SPACES,
}
"""What a plug-in may register, and where, by what an entry is called."""
MODULE: Final = "oplstm_plugin_"
"""Begins the name of the module that a plug-in becomes which is named by its file."""
_loaded: "dict[str, PluginSource]" = {}
"""Those that this process has imported, by the names that jobs give them."""


@dataclass(frozen=True)
class PluginSource:
    """Where code that a sweep needs came from.

    Attributes:
        plugin: As a job names it: a module, or the absolute path of a file; of an installed package the module.
        path: Of the module's file, absolute, outside of every home.
        sha256: Of the file, or of all Python files of the package that it is in.
        brings: What it registers, such as ``learner reptile``.
        package: Name and version of the installed package that declares it as an entry point; None for a plug-in.
    """

    plugin: str
    path: str
    sha256: str
    brings: Annotated[tuple[str, ...], Field(strict=False)]
    package: str | None = None

    def entries(self) -> Iterator[tuple[Registry[Any], str]]:
        """The registries and the names in them that it fills; what no registry could hold is left out."""
        for entry in self.brings:
            kind, _, name = entry.partition(" ")
            if kind in REGISTRIES:
                yield REGISTRIES[kind], name


@record(frozen=True)
class Code:
    """The code of a plug-in, none of which was run.

    Attributes:
        plugin: As a job names it.
        module: Name of the module that it becomes.
        path: Its file, links in the path as they are.
        folder: To which the paths of ``files`` are relative.
        files: All of it: the file, or the Python files of the package that it is in.
    """

    plugin: str
    module: str
    path: Path
    folder: Path
    files: tuple[Path, ...]

    @property
    def sha256(self) -> str:
        """Of the paths and the bytes of its files."""
        return source_digest(self.folder, self.files)

    def source(self, brings: tuple[str, ...] = (), package: str | None = None) -> PluginSource:
        """What is recorded of it."""
        return PluginSource(self.plugin, str(self.path.resolve()), self.sha256, brings, package)


def named(plugin: str) -> str:
    """A plug-in as jobs record it: a module by its name, a file by its absolute path."""
    is_file = plugin.endswith(".py") or os.sep in plugin
    return os.path.abspath(os.path.expanduser(plugin)) if is_file else plugin


def find_code(plugin: str) -> Code:
    """The code of a plug-in, found as an import finds it.

    Raises:
        RequestError: There is none, or it lies among results.
    """
    if os.path.isabs(plugin):
        path = Path(plugin)
        if not path.is_file() or path.suffix != ".py" or not path.stem.isidentifier():
            problem = "is not named as a Python module is, such as mine.py" if path.is_file() else "is no file"
            raise RequestError(f"plug-in {plugin} {problem}")
        code = Code(plugin, MODULE + path.stem, path, path.parent, (Path(path.name),))
    else:
        found = sources_of(plugin) if all(map(str.isidentifier, plugin.split("."))) else None
        if found is None or not found.module.is_file():
            raise RequestError(
                f"plug-in {shown(plugin)}: no file of that module is found from {Path.cwd()}; give a module that "
                "Python finds there, or the path of a .py file"
            )
        top = next(iter(found.packages), found.module)
        folder, files = top.parent, [found.module]
        if top.name == "__init__.py":
            folder, files = top.parent.parent, sorted(top.parent.rglob("*.py"))
        code = Code(plugin, plugin, found.module, folder, tuple(file.relative_to(folder) for file in files))
    check_files_outside_homes("plug-in", plugin, (code.path, *(code.folder / file for file in code.files)))
    return code


def load_plugin(plugin: str) -> PluginSource:
    """Import a plug-in, once a process.

    Raises:
        RequestError: There is none, it fails or registers nothing, or it was changed since this process imported it.
    """
    return load_code(find_code(plugin))


def load_code(code: Code) -> PluginSource:
    """``load_plugin`` of code that was found."""
    if (before := _loaded.get(code.plugin)) is not None:
        if code.sha256 != before.sha256:
            raise RequestError(f"plug-in {code.path} was changed since this process imported it; begin in a new one")
        return before
    source, there = code.source(), _registered()
    try:
        module = _import(code)
    except (Exception, SystemExit) as error:  # of whatever the module does
        for kind, name in set(_registered()) - set(there):
            REGISTRIES[kind].forget(name)
        raise RequestError(f"plug-in {shown(code.plugin)} cannot be imported: {one_line(error)}") from error
    root = module.__name__.partition(".")[0]
    of_it = {
        f"{kind} {name}"
        for (kind, name), entry in _registered().items()
        if (kind, name) not in there or place_of(entry).partition(":")[0].partition(".")[0] == root
    }
    if not of_it:
        if code.module != code.plugin:
            del sys.modules[code.module]
        raise RequestError(
            f"plug-in {shown(code.plugin)} ({code.path}) registers nothing; it should say, for instance, "
            'LEARNERS.register("mine", Mine), with LEARNERS of oplstm.learners.registry'
        )
    _loaded[code.plugin] = replace(source, brings=tuple(sorted(of_it)))
    return _loaded[code.plugin]


def is_loaded(plugin: str) -> bool:
    """Whether this process has imported a plug-in."""
    return plugin in _loaded


def _import(code: Code) -> ModuleType:
    if code.module == code.plugin:
        return importlib.import_module(code.module)
    spec = importlib.util.spec_from_file_location(code.module, code.path)
    if code.module in sys.modules or spec is None or spec.loader is None:
        other = getattr(sys.modules.get(code.module), "__file__", "")
        raise ImportError(f"{other} is a plug-in of the same name: rename one of them")
    module = sys.modules[code.module] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[code.module]
        raise
    return module


def _registered() -> dict[tuple[str, str], Any]:
    return {(kind, name): entry for kind, known in REGISTRIES.items() for name, entry in known.registered.items()}


def sources_for(job: Job) -> tuple[PluginSource, ...]:
    """Where all code outside of oplstm comes from that a checked job names, but for a space ``module:function``.

    Raises:
        RequestError: Some of it is not there, or fails.
    """
    found = [load_plugin(plugin) for plugin in job.plugins]
    brought = {entry for source in found for entry in source.brings}
    installed: dict[tuple[Path, ...], PluginSource] = {}
    analyses = job.budget.get("analyses") or ()
    names = [("learner", job.learner), ("benchmark", job.benchmark["name"]), ("space", job.space or "")]
    for kind, name in (*names, *(("analysis", analysis) for analysis in analyses)):
        if not name or ":" in name or f"{kind} {name}" in brought:
            continue
        if (point := REGISTRIES[kind].point(name)) is not None:
            code, package = find_code(point.module), "a package"
            if point.dist is not None:
                package = f"{point.dist.name} {point.dist.version}"
            before = installed.get(code.files)  # a package may have a module for each
            brings = (*(before.brings if before else ()), f"{kind} {name}")
            installed[code.files] = replace(before or code.source(package=package), brings=brings)
    return (*found, *installed.values())


def offer(source: PluginSource, load: Callable[[], object]) -> None:
    """Let the names that code brings be known in this process; ``load`` imports it when one of them is looked up."""
    for registry, name in source.entries():
        registry.offer(name, load)
