"""What one client may do, however it is connected: its messages become functions of the database. No socket is here.

A session knows its tenant, the names that the desk answers to, and the chains (``store: false``) that only it may
continue. Each method raises a WireError, a Refused or a DatabaseError; `errors.told` words it for the client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from ..agents import choice, conversation_items, deletion, task_retry
from ..agents.catalog import Catalog
from ..agents.conversation_items import About
from ..agents.model import Model
from ..agents.references import Reader, resolved
from ..agents.team import Team
from ..broker import cancel, conversations, turns
from ..broker.database import Database
from ..broker.errors import DatabaseError, Refused
from ..broker.inbox import Accepted, NewCreate, NewSteer, SteerAccepted
from . import records
from .accepting import Listen, accept_create, accept_steer, answer_task
from .errors import InvalidRequest, ModelNotFound
from .item_views import shown_item, shown_items
from .limits import Limits
from .protocol import Answer, Cancel, Create, Steer, Subscribe
from .rates import Bucket
from .shared import Latest

LAST: Final = 1_000  # responses that a client has asked not to be stored


class Served(Protocol):
    """What the server asks of a desk."""

    @property
    def name(self) -> str: ...

    @property
    def agents(self) -> Mapping[str, Any]: ...

    @property
    def catalogs(self) -> Mapping[str, Catalog]: ...

    @property
    def max_unattended_turns(self) -> int: ...

    @property
    def entry(self) -> Any: ...

    def models_of(self, agent: Any) -> Sequence[Model]: ...

    def team(self) -> Team: ...

    async def aclose(self) -> None:
        """Closes what models have open in this event loop."""
        ...


@dataclass(slots=True, kw_only=True)
class Session:
    """One client's dealings with one desk."""

    database: Database
    desk: Served
    tenant: str = ""
    limits: Limits = field(default_factory=Limits)
    rate: Bucket | None = None  # of its tenant's requests; None: as many as it likes
    chains: set[str] = field(default_factory=set[str])  # conversations that are not stored, of this client
    latest: Latest = field(default_factory=Latest)  # of this server, for all who subscribe
    aside: list[str] = field(default_factory=list[str])  # its latest responses in stored ones that are not

    def agent_for(self, model: str | None) -> str:
        """The agent that a request's ``model`` names; empty for the desk itself. Raises ModelNotFound."""
        if model is None or model == self.desk.name:
            return ""
        if model in self.desk.agents:
            return model
        raise ModelNotFound(model, dict.fromkeys((self.desk.name, *self.desk.agents)))

    def model_for(self, model: str | None) -> Model:
        """The language model of the agent that a request's ``model`` names. Raises ModelNotFound."""
        name = self.agent_for(model)
        return self.desk.models_of(self.desk.agents[name] if name else self.desk.entry)[0]

    async def create(self, message: Create, listen: Listen) -> Accepted:
        """Commits a create to its conversation's inbox; ``listen`` is called before the commit, in another thread."""
        agent = self.agent_for(message.model)
        choice.check_request(self.desk.catalogs, agent, message.request)
        new = NewCreate(
            tenant=self.tenant,
            desk=self.desk.name,
            agent=agent,
            input=message.input,
            request=message.request,
            digest=message.digest,
            conversation_id=message.conversation,
            previous_response_id=message.previous_response_id,
            input_id=message.input_id,
            when_busy=message.when_busy,
            stored=message.stored,
            dialog=None if message.dialog is None else message.dialog.now,
            metadata=message.metadata,
            unattended_limit=self.desk.max_unattended_turns,
            limit=self.limits.inbox,
        )
        found, kept = await self.database.write(accept_create, new, self._mine(), listen, message.dialog)
        if not kept:
            self.chains.add(found.conversation_id)
        elif not message.stored:
            self._keep_aside(found.response_id)
        return found

    def _keep_aside(self, response_id: str) -> None:
        self.aside.append(response_id)
        del self.aside[:-LAST]

    def _mine(self) -> frozenset[str]:
        """The conversations and responses that nobody else may see."""
        return frozenset(self.chains.union(self.aside))

    async def keep_chains(self) -> None:
        """Keeps the conversations that are not stored for another ten minutes; they go when nobody does this."""
        if self.chains:
            await self.database.write(conversations.keep_unstored, frozenset(self.chains))

    async def drop_chain(self, response_id: str) -> None:
        """Forgets the conversation that is not stored and holds this response: it cannot be continued any more."""
        if self.chains:
            found = await self.database.read(turns.read, response_id)
            self.chains.discard("" if found is None else found["conversation_id"])

    async def steer(self, message: Steer, listen: Listen) -> SteerAccepted:
        """Commits input for a running response; ``listen`` as in `create`."""
        new = NewSteer(
            tenant=self.tenant,
            response_id=message.previous_response_id,
            input=message.input,
            digest=message.digest,
            input_id=message.input_id,
            limit=self.limits.inbox,
        )
        found = await self.database.write(accept_steer, new, self._mine(), listen)
        if message.previous_response_id in self.aside and found.response_id not in self.aside:
            self._keep_aside(found.response_id)  # it is not stored either
        return found

    async def cancel(self, message: Cancel) -> None:
        """Asks for a response, or for a task and its children, to be cancelled. What has ended stays as it is."""
        if message.response_id is not None:
            await self.database.write_first(cancel.cancel_response, message.response_id, self.tenant)
        elif message.task_id is not None:
            await self.database.write_first(cancel.cancel_task, message.task_id, self.tenant)

    async def response(self, response_id: str) -> dict[str, Any]:
        """A response as it is now. Raises ResponseNotFound."""
        return await self.database.read(records.response, response_id, self.tenant, self._mine())

    async def turn(self, response_id: str) -> turns.TurnRow:
        """Where a response's events are, and how far it is. Raises ResponseNotFound."""
        return await self.database.read(records.response_of, response_id, self.tenant, self._mine())

    async def next_number(self, response_id: str) -> int:
        """The sequence number that a further event of a response would have; 0 when that is not known."""
        try:
            return int((await self.turn(response_id))["next_sequence"])
        except (Refused, DatabaseError):
            return 0

    async def last_event(self, response_id: str) -> str | None:
        """The event that ended a response; None while it is live. Raises ResponseNotFound."""
        return await self.database.read(records.last_event, response_id, self.tenant, self._mine())

    async def history(self, response_id: str) -> list[dict[str, Any]]:
        """Everything up to a response, as it is kept. Raises PreviousResponseNotFound."""
        return await self.database.read(records.history, response_id, self.tenant, self._mine())

    async def named(self, given: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """These items, with those that they name. Raises ItemNotFound, TooMuchNamed."""
        return await self.database.read(resolved, given, Reader(tenant=self.tenant, mine=frozenset(self.chains)))

    async def input_items(self, response_id: str) -> list[dict[str, Any]]:
        """What a response was asked with, the oldest first. Raises ResponseNotFound."""
        return await self.database.read(records.input_items, response_id, self.tenant, self._mine())

    async def delete_response(self, response_id: str) -> None:
        """Forgets a response that has ended, and its events; its items stay in the conversation. Raises
        ResponseNotFound, ConversationBusy."""
        await self.turn(response_id)
        await self.database.write(deletion.delete_response, response_id, self.tenant)

    async def start(self, metadata: dict[str, str], given: Sequence[dict[str, Any]]) -> About:
        """Makes a conversation that begins with these items."""
        return await self.database.write(
            conversation_items.start_conversation,
            self.tenant,
            self.desk.name,
            metadata,
            given,
            unattended_limit=self.desk.max_unattended_turns,
        )

    async def conversation(self, conversation_id: str) -> About:
        """A stored conversation. Raises ConversationNotFound."""
        return await self.database.read(conversation_items.about, conversation_id, self.tenant)

    async def describe(self, conversation_id: str, metadata: dict[str, str]) -> About:
        """Gives a conversation other metadata. Raises ConversationNotFound."""
        return await self.database.write(conversation_items.update_conversation, conversation_id, self.tenant, metadata)

    async def delete_conversation(self, conversation_id: str, *, cancel: bool = False) -> None:
        """Removes a conversation and everything of it; ``cancel``: what is live is cancelled. Raises
        ConversationNotFound, ConversationBusy."""
        await self.database.write(deletion.delete_conversation, conversation_id, self.tenant, cancel=cancel)

    async def items(self, conversation_id: str, *, after: str, limit: int, newest_first: bool) -> list[dict[str, Any]]:
        """A page of a conversation's items as they are shown. Raises ConversationNotFound, ItemNotFound."""
        found = await self.database.read(
            conversation_items.page, conversation_id, self.tenant, after=after, limit=limit, newest_first=newest_first
        )
        return shown_items(found)

    async def item(self, conversation_id: str, item_id: str) -> dict[str, Any]:
        """An item as it is shown. Raises ConversationNotFound, ItemNotFound."""
        return shown_item(await self.database.read(conversation_items.one_item, conversation_id, self.tenant, item_id))

    async def add_items(self, conversation_id: str, given: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Adds items to a conversation that is not answering; they as they are shown. Raises ConversationNotFound,
        ConversationBusy."""
        added = await self.database.write(conversation_items.add_items, conversation_id, self.tenant, given)
        return shown_items(added)

    async def delete_item(self, conversation_id: str, item_id: str) -> About:
        """Removes an item of a conversation that is not answering. Raises ConversationNotFound, ItemNotFound,
        ConversationBusy."""
        return await self.database.write(conversation_items.delete_item, conversation_id, self.tenant, item_id)

    async def retry(self, task_id: str) -> dict[str, Any]:
        """Files a task that did not succeed anew; the new task, and whether it was there already. Raises TaskNotFound,
        TaskNotRetryable."""
        found, repeated = await self.database.write(task_retry.retry_task, task_id, self.tenant)
        return {**records.shown(found), "repeated": repeated}

    async def answer(self, message: Answer) -> dict[str, Any]:
        """Answers the question that a task waits with; the task as it is then. Raises InvalidRequest."""
        return await self.database.write(answer_task, message.task_id, self.tenant, message.answer)

    async def last_cursor(self, message: Subscribe) -> int:
        """Where the conversation's log ends. Raises ConversationNotFound, InvalidRequest (``after`` is beyond it)."""
        last = await self.database.read(records.last_cursor, message.conversation, self.tenant, frozenset(self.chains))
        if message.after is not None and message.after > last:
            raise InvalidRequest(f"after: {message.after} is not a cursor of this conversation", "after")
        return last
