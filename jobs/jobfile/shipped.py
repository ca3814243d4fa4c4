"""The job files that ship with oplstm."""

import importlib.resources

import yaml


def shipped_jobs() -> dict[str, str]:
    """Text of the job files that ship, by name."""
    folder = importlib.resources.files("jobs.jobfile") / "files"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return {name.removesuffix(".yaml"): (folder / name).read_text() for name in names}


def descriptions() -> dict[str, str]:
    """What each of them is for, by name; nothing is checked, so this is quick."""
    return {name: str(yaml.safe_load(text).get("description", "")) for name, text in shipped_jobs().items()}
