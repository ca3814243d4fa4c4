"""The reference of job files, from their JSON schema, and the list of those that ship."""

from collections.abc import Mapping
from typing import Any

from docs.site.markdown import code, prose, table
from jobs.jobfile.schema import Job
from jobs.jobfile.shipped import descriptions

Schema = Mapping[str, Any]
WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "null": "`null`",
    "boolean": "`true`, `false`",
    "array": "a list",
    "object": "keys and values",
}
ORDER = ("Sampler", "Pruner", "Resources", "Promotion", "Replicates", "Final")


def sections() -> str:
    """The keys of a job file and of its sections."""
    schema = Job.model_json_schema()
    parts = [_keys(schema)]
    for name in [*ORDER, *sorted(set(schema["$defs"]) - set(ORDER))]:
        section = schema["$defs"][name]
        parts += [f"### {name.lower()}", prose(section["description"]), _keys(section)]
    return "\n\n".join(parts)


def shipped() -> str:
    """The job files that ship."""
    return table(["job", "what it does"], [[code(name), text] for name, text in descriptions().items()])


def _keys(section: Schema) -> str:
    required = section.get("required", [])
    rows = []
    for name, key in section["properties"].items():
        default = "required" if name in required else _default(key)
        rows.append([code(name), takes(key), default, prose(key.get("description", ""))])
    return table(["key", "takes", "default", "meaning"], rows)


def _default(key: Schema) -> str:
    value = key.get("default")
    return "" if isinstance(value, dict) and value else code('""' if value == "" else value)


def takes(key: Schema) -> str:
    """What a key takes, with its limits, in words."""
    if "$ref" in key:
        name = key["$ref"].rpartition("/")[2].lower()
        return f"[{name}](#{name})"
    if "anyOf" in key:
        return " or ".join(takes(one) for one in key["anyOf"])
    if "const" in key:
        return code(key["const"])
    return WORDS[key["type"]] + _limits(key)


def _limits(key: Schema) -> str:
    least, most = key.get("minimum"), key.get("maximum")
    if "exclusiveMaximum" in key:
        most = key["exclusiveMaximum"] - 1
    if least is not None and most is not None:
        return f", {least:,} to {most:,}" if least != most else f": {least}"
    return "" if "maxItems" not in key else f" of at most {key['maxItems']:,}"
