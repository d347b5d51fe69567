"""Say where in a YAML file a setting is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from pydantic import ValidationError

from lexigraft import InputError


def first_problem(error: ValidationError, path: Path, text: str, overrides: set[str]) -> InputError:
    """Turn pydantic's report into one error that names the line of the file or the override."""
    problem = error.errors()[0]
    where = [str(part) for part in problem["loc"]]
    message = problem["msg"].removeprefix("Value error, ")
    unknown = re.match(r"unknown key '([^']+)'", message)
    if unknown:
        where.append(unknown.group(1))
    key = ".".join(where)
    found = repr(problem["input"])[:80] if not unknown and problem["type"] not in {"missing", "value_error"} else None
    if any(key == o or key.startswith(f"{o}.") for o in overrides):
        return InputError(f"`{key}` (given as an override): {message}", found=found)
    return InputError(f"`{key}`: {message}" if key else message, file=path, line=_line_of(text, where), found=found)


def _line_of(text: str, where: list[str]) -> int | None:
    """Line number of the deepest part of `where` that the YAML text has."""
    node, line = yaml.compose(text, Loader=yaml.SafeLoader), None
    for part in where:
        if isinstance(node, yaml.MappingNode):
            hit = next(((k, v) for k, v in node.value if k.value == part), None)
            if hit is None:
                break
            line, node = hit[0].start_mark.line + 1, hit[1]
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
        else:
            break
    return line
