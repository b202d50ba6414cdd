"""``tool_choice``: its shapes, as the API has them. Pure. Which tools there are, and what a choice means, is decided by
the agents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from . import checks
from .checks import JSON, optional, require
from .errors import InvalidRequest, UnsupportedParameter

MOST: Final = 128  # tools in one choice
NAME: Final = checks.string(128)


def check(choice: Any) -> None:
    """Raises InvalidRequest or UnsupportedParameter, naming the place."""
    if choice is None:
        return
    if isinstance(choice, str):
        require(choice, checks.one_of("none", "auto", "required"), "tool_choice")
        return
    found = cast(JSON, choice)
    if found.get("type") == "allowed_tools":
        _allowed(found)
    else:
        _tool(found, "tool_choice")


def _allowed(choice: Mapping[str, Any]) -> None:
    require(choice.get("mode"), checks.one_of("auto", "required"), "tool_choice.mode")
    tools = cast(Sequence[Any], require(choice.get("tools"), checks.listing, "tool_choice.tools"))
    if not 1 <= len(tools) <= MOST:
        raise InvalidRequest(f"tool_choice.tools holds {len(tools)} tools; give 1 to {MOST}", "tool_choice.tools")
    for index, tool in enumerate(tools):
        place = f"tool_choice.tools[{index}]"
        _tool(cast(JSON, require(tool, checks.mapping, place)), place)


def _tool(tool: Mapping[str, Any], place: str) -> None:
    match tool.get("type"):
        case "function":
            require(tool.get("name"), NAME, f"{place}.name")
        case "mcp":  # the tools that the server runs, by the label under which their calls are shown
            require(tool.get("server_label"), NAME, f"{place}.server_label")
            optional(tool, "name", NAME, f"{place}.name")
        case _:
            known = "none, auto, required, allowed_tools, or one tool: function or mcp"
            raise UnsupportedParameter(f"{place}.type", f"a choice is {known}")
