"""Writes docs/reference.md from the docstrings of what people who write desks import: `make reference`."""

from __future__ import annotations

import inspect
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parent.parent
MODULES = {  # what is shown of each; nothing named: all that is public
    "frontdesk.agents": (),
    "frontdesk.agents.desk_options": ("DeskOptions",),
    "frontdesk.tasks": (),
    "frontdesk.agents.testing": (),
    "frontdesk.agents.models.responses": ("ResponsesModel",),
    "frontdesk.agents.models.chat": ("ChatModel",),
    "frontdesk.agents.models.prompted": ("PromptedModel",),
    "frontdesk.agents.models.offline": ("OfflineModel",),
    "frontdesk.broker.database": ("Database",),
    "frontdesk.server.client": (),
}
HEAD = """\
# Reference

What a desk is written with, from the docstrings. `make reference` writes this page.

"""


def page() -> str:
    with tempfile.TemporaryDirectory() as folder:  # the storeys alone: the checkout holds far more
        package = Path(folder) / "frontdesk"
        package.mkdir()
        for name in ("__init__.py", "agents", "broker", "server", "tasks"):
            (package / name).symlink_to(ROOT / name)
        return _page(griffe.load("frontdesk", search_paths=[folder]))


def _page(loaded: griffe.Object) -> str:
    parts = [HEAD]
    for name, wanted in MODULES.items():
        module = loaded[name.removeprefix("frontdesk.")]
        parts.append(f"## {name}\n\n{_text(module)}\n")
        parts += _members(module, wanted)
    return "\n".join(parts).rstrip() + "\n"


def _members(module: griffe.Module, wanted: Collection[str]) -> Iterator[str]:
    for name, member in sorted(module.members.items(), key=lambda one: (one[0].islower(), one[0].lower())):
        if wanted and name not in wanted:
            continue
        if _is_again(module, name):  # a module of the same name would hide it
            found = member[name] if member.is_module else member.final_target
        elif member.is_alias or name.startswith("_"):
            continue
        else:
            found = member
        if (found.is_class or found.is_function) and found.docstring:
            yield from _entry(name, found)


def _is_again(module: griffe.Module, name: str) -> bool:
    """Whether a module names something again on purpose: ``from x import y as y``."""
    return f" {name} as {name}" in (module.filepath.read_text(encoding="utf-8"))


def _entry(name: str, found: griffe.Object) -> Iterator[str]:
    yield f"### {name}\n\n```python\n{_signature(name, found)}\n```\n\n{_text(found)}\n"
    if found.is_class:
        for method_name, method in found.members.items():
            if method.is_alias or method_name.startswith("_") or not method.docstring:
                continue
            if method.is_function:
                yield f"```python\n{_signature(method_name, method)}\n```\n\n{_text(method)}\n"
            elif "property" in method.labels:
                yield f"**`{method_name}`**: {_text(method)}\n"


def _signature(name: str, found: griffe.Object) -> str:
    if found.is_class:
        parameters = found.parameters
        head = name
    else:
        parameters = found.parameters
        head = ("async " if "async" in found.labels else "") + name
    given = [str(one) for one in _shown(parameters)]
    returns = f" -> {found.returns}" if found.is_function and found.returns else ""
    line = f"{head}({', '.join(given)}){returns}"
    if len(line) <= 100 or not given:
        return line
    return f"{head}(\n    " + ",\n    ".join(given) + f",\n){returns}"


def _shown(parameters: griffe.Parameters) -> Iterator[str]:
    starred = False
    for one in parameters:
        if one.name == "self":
            continue
        kind = one.kind
        if kind is griffe.ParameterKind.keyword_only and not starred:
            starred = True
            yield "*"
        prefix = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(kind, "")
        starred = starred or prefix == "*"
        annotation = f": {one.annotation}" if one.annotation else ""
        default = f" = {one.default}" if one.default is not None and not prefix else ""
        yield f"{prefix}{one.name}{annotation}{default}"


def _text(found: griffe.Object) -> str:
    """A docstring as Markdown: `names` and ``code`` are code there too; sections become lists."""
    text = inspect.cleandoc(found.docstring.value if found.docstring else "").replace("``", "`")
    lines: list[str] = []
    for line in text.splitlines():
        if line in ("Args:", "Raises:", "Returns:"):
            lines += [f"*{line}*", ""]
        elif line.startswith("    ") and not line.startswith("     ") and lines and _in_section(lines):
            name, colon, rest = line.strip().partition(": ")
            lines.append(f"- `{name}`: {rest}" if colon else f"- {line.strip()}")
        elif line.startswith("        ") and _in_section(lines):
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    return "\n".join(lines)


def _in_section(lines: list[str]) -> bool:
    return any(line in ("*Args:*", "*Raises:*", "*Returns:*") for line in lines)


if __name__ == "__main__":
    sys.stdout.write(page())
