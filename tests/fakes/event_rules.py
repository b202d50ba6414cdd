"""What the events of a response must be: valid by the SDK's own types, gapless, in the order of the protocol's fine
print.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import to_json

Event = dict[str, Any]

TERMINAL = ("response.completed", "response.failed", "response.incomplete")


@cache
def sdk_types() -> dict[str, type[BaseModel]]:
    """The SDK's class of each server event, by its type."""
    from openai.types.responses import ResponsesServerEvent, ResponseStreamEvent

    found: dict[str, type[BaseModel]] = {}
    for union in (ResponseStreamEvent, ResponsesServerEvent):
        for one in get_args(get_args(union)[0]):
            found[get_args(one.model_fields["type"].annotation)[0]] = one
    return found


def check_types(events: Sequence[Event]) -> None:
    """Each event is what the SDK says that it is. Raises ValidationError."""
    for event in events:
        if not event["type"].startswith("frontdesk:"):
            sdk_types()[event["type"]].model_validate_json(to_json(event), strict=True)


def by_response(events: Sequence[Event]) -> dict[str, list[Event]]:
    """The events of each response, in their order; events of the conversation itself are left out."""
    found: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        if "response_id" in event:
            found[event["response_id"]].append(event)
    return dict(found)


def check_response(events: Sequence[Event]) -> None:
    """The order of one whole response, of which nothing is missing; steers that stay pending may follow its end."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    while events[-1]["type"] == "response.steer.pending":
        events = events[:-1]
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert [kind for kind in kinds if kind in TERMINAL] == kinds[-1:], kinds
    items: defaultdict[int, list[Event]] = defaultdict(list)
    for event in events:
        if "output_index" in event:
            items[event["output_index"]].append(event)
    assert sorted(items) == list(range(len(items)))
    done = [check_item(items[index]) for index in sorted(items)]
    response = events[-1]["response"]
    assert response["output"] == done
    assert response["id"] == events[0]["response"]["id"] == events[0]["response_id"]
    assert len({item["id"] for item in done}) == len(done)
    added = [event["output_index"] for event in events if event["type"] == "response.output_item.added"]
    assert added == sorted(added)


def check_item(events: Sequence[Event]) -> Event:
    """The events of one item: added first, done last, deltas between, which are the whole text; the
    item as it ended.
    """
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert (kinds[0], kinds[-1]) == ("output_item.added", "output_item.done")
    item: Event = events[-1]["item"]
    assert events[0]["item"]["id"] == item["id"]
    assert {event["item_id"] for event in events if "item_id" in event} <= {item["id"]}
    between = kinds[1:-1]
    match item["type"]:
        case "message":
            text = item["content"][0]["text"]
            deltas = "".join(event["delta"] for event in events if "delta" in event)
            assert deltas == text or (item["status"] == "incomplete" and deltas.startswith(text)), (text, deltas)
            assert between[0] == "content_part.added"
            assert set(between[1:-2]) <= {"output_text.delta"}
            assert between[-2:] == ["output_text.done", "content_part.done"]
        case "mcp_call" if between:
            failed = item.get("error") is not None
            ended = "mcp_call.failed" if failed else "mcp_call.completed"
            assert between == ["mcp_call.in_progress", "mcp_call_arguments.done", ended]
            assert item["status"] == ("failed" if failed else "completed")
        case "function_call":
            assert between == ["function_call_arguments.done"]
        case _:
            assert between == []
    return item


def check(events: Sequence[Event]) -> None:
    """Everything above, for all events of a conversation from its beginning; a response that goes
    on is not whole yet.
    """
    check_types(events)
    assert [int(event["cursor"]) for event in events] == list(range(1, len(events) + 1))
    for response in by_response(events).values():
        if any(event["type"] in TERMINAL for event in response):
            check_response(response)
