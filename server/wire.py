"""The wire as types: what clients may send over HTTP, and what of ours they are sent. They describe; what is accepted
is decided by ``protocol``, ``chat_requests`` and ``conversation_requests``, and a test holds the two together.

The API's own answers and events are the types of the `openai` package: only their names are here, because importing
them takes a second. Unknown fields are passed over, as everywhere.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Item: TypeAlias = dict[str, Any]  # an item of the API: a message, a call, an output …
Id: TypeAlias = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,256}$")]
Metadata: TypeAlias = dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]]
Text: TypeAlias = Annotated[str, Field(max_length=256)]


class Wire(BaseModel):
    model_config = ConfigDict(extra="allow")


class ConversationId(Wire):
    id: Id


class Function(Wire):
    """A function that the client runs itself."""

    type: Literal["function"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class CreateResponse(Wire):
    """The body of ``POST /v1/responses``, and the fields of ``response.create``."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"anyOf": [{"required": [one]} for one in ("input", "conversation", "previous_response_id")]},
    )

    input: str | Annotated[list[Item], Field(min_length=1, max_length=10_000)] | None = Field(
        None,
        description="A text, or items: messages, outputs of functions, answers to approval requests. Only what goes on "
        "in a conversation may leave it out: what that holds is answered.",
    )
    model: Text | None = Field(None, description="The desk, or one of its agents; the desk by default.")
    conversation: Id | ConversationId | None = Field(None, description="The conversation that the input enters.")
    previous_response_id: Id | None = Field(None, description="The response that is continued.")
    instructions: str | None = Field(None, description="Said to the agent for this turn, after its own.")
    metadata: Metadata | None = Field(
        None,
        description="Kept and returned. `frontdesk:input_id` makes a repeat get the first one's outcome; "
        "`frontdesk:when_busy` is enqueue, interrupt or reject; `frontdesk:conversation` names a conversation.",
    )
    tools: list[Function] | None = Field(None, description="Functions that the client runs, beside the agent's own.")
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    reasoning: dict[str, Any] | None = None
    text: dict[str, Any] | None = Field(None, description="The form of the answer: `format`, `verbosity`.")
    include: list[str] | None = Field(None, description="Taken; only `message.output_text.logprobs` is refused.")
    store: bool | None = Field(None, description="false: nobody can read or continue it afterwards.")
    background: bool | None = Field(None, description="Answered at once; the response goes on by itself.")
    stream: bool | None = Field(None, description="Its events, as server-sent events.")

    @model_validator(mode="after")
    def _asks_something(self) -> CreateResponse:
        if self.input is None and self.conversation is None and self.previous_response_id is None:
            raise ValueError("input is missing")
        return self


class CompactRequest(Wire):
    """What is to be made shorter: ``input``, the history up to ``previous_response_id``, or both."""

    model: Text | None = None
    input: str | list[Item] | None = None
    previous_response_id: Id | None = None
    instructions: str | None = Field(None, description="What else is to be kept.")


class CreateConversation(Wire):
    items: list[Item] | None = Field(None, description="What it begins with.")
    metadata: Metadata | None = None


class UpdateConversation(Wire):
    metadata: Metadata | None = None


class AddItems(Wire):
    items: Annotated[list[Item], Field(min_length=1)]


class ChatMessage(Wire):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: Id | None = None


class StreamOptions(Wire):
    include_usage: bool | None = None


class CreateChatCompletion(Wire):
    """The whole dialog, each time: its messages name its conversation."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    model: Text | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    metadata: Metadata | None = None
    user: str | None = Field(None, description="Tells dialogs apart that begin alike.")
    safety_identifier: str | None = None
    store: bool | None = None


class AnswerTask(Wire):
    answer: Any = Field(description="Any JSON value.")


class TaskView(Wire):
    """A task, as its events and lists show it."""

    id: str
    label: str = Field(description="T1, T2 … within its conversation.")
    name: str
    title: str
    agent: str | None
    status: Literal["queued", "running", "waiting", "succeeded", "failed", "cancelled", "held"]
    progress: float | None
    message: str | None
    question: str | None = Field(None, description="What it waits to be answered.")
    result: Any = None
    error: str | None
    attempt: int
    created_at: float
    started_at: float | None
    finished_at: float | None


class ErrorBody(Wire):
    type: str
    code: str = Field(description="What went wrong, in a word.")
    message: str = Field(description="What was wrong, and what to do.")
    param: str | None = Field(description="The field that is wrong.")


class Failure(Wire):
    """Every answer from 400 on."""

    error: ErrorBody


# --- events of ours


class Durable(Wire):
    conversation: str
    cursor: str = Field(description="Unique in its conversation: everything after it follows a resumption.")


class TaskEvent(Durable):
    """A task was filed, has come further, or has ended. Progress comes at most five times a second."""

    type: Literal["frontdesk:task.created", "frontdesk:task.updated", "frontdesk:task.finished"]
    task: TaskView


class AgentChanged(Durable):
    """The conversation was handed over."""

    type: Literal["frontdesk:agent.changed"]
    from_: str = Field(alias="from")
    to: str


class Subscribed(Durable):
    """Everything of the conversation after ``cursor`` follows, on the lane ``frontdesk.<conversation>``."""

    type: Literal["frontdesk:subscribed"]


class Accepted(Wire):
    """A create that has to wait for its turn; ``position`` inputs are before it."""

    type: Literal["frontdesk:accepted"]
    input_id: str | None
    response_id: str
    conversation: str
    position: int


class Gap(Wire):
    """What was between the two cursors has been removed by retention."""

    type: Literal["frontdesk:gap"]
    conversation: str
    after: str
    resumes_at: str


class Draining(Wire):
    """The server is stopping: reconnect, here or elsewhere, and go on from the last cursor."""

    type: Literal["frontdesk:draining"]
    closes_in_seconds: float


EVENTS: tuple[type[Wire], ...] = (TaskEvent, AgentChanged, Subscribed, Accepted, Gap, Draining)


# --- messages of ours, from the client


class Cancel(Wire):
    """Asks for a response, or for a task and its children, to be cancelled: one of the two."""

    type: Literal["frontdesk:cancel"]
    response_id: str | None = None
    task_id: str | None = None


class Subscribe(Wire):
    """Everything of a conversation after a cursor, then live; without ``after``: from now."""

    type: Literal["frontdesk:subscribe"]
    conversation: str
    after: str | None = None


class Unsubscribe(Wire):
    """Nothing more of a conversation than what this connection has caused."""

    type: Literal["frontdesk:unsubscribe"]
    conversation: str


class Answer(Wire):
    """Answers the question that a task waits with."""

    type: Literal["frontdesk:answer"]
    task_id: str
    answer: Any


MESSAGES: tuple[type[Wire], ...] = (Cancel, Subscribe, Unsubscribe, Answer)
