"""From settings to a service: which desk, which model, which worker. What can go wrong here has a message."""

from __future__ import annotations

import hashlib
import importlib
import sys
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from ..agents.desk import Desk
from ..agents.errors import DeskError
from ..agents.prices import Price
from ..broker.database import Database
from ..broker.opening import open_patiently
from ..broker.retention import DAY, Keep
from ..tasks.errors import FrontdeskError, InvalidOption
from . import tokens
from .door import Authenticate, Door
from .limits import Limits
from .service import Service
from .settings import Settings
from .stopping import StopSignals

if TYPE_CHECKING:
    from ..agents.model import Model
    from ..broker.worker import Worker


DATABASE: Final = "sqlite:///frontdesk.db"


def find_desk(where: str) -> Desk[Any]:
    """The desk named ``module:attribute``, looked for in the working directory first. Raises DeskError."""
    found = _find(where, "desk", "a desk")
    if not isinstance(found, Desk):
        module_name, _, attribute = where.partition(":")
        raise DeskError(f"{module_name} has no desk named {attribute or 'desk'!r}; make one with `desk = Desk(…)`")
    return cast("Desk[Any]", found)  # type: ignore[redundant-cast] # basedpyright does not know its dependencies


def find_authenticate(where: str) -> Authenticate:
    """The function named ``module:attribute`` that says who a request comes from. Raises DeskError."""
    found = _find(where, "authenticate", "a function")
    if not callable(found):
        raise DeskError(f"{where!r} names no function; write one with `def authenticate(request): …`")
    return cast("Authenticate", found)


def _find(where: str, usual: str, what: str) -> object:
    module_name, _, attribute = where.partition(":")
    if not module_name:
        raise DeskError(f"{where!r} does not name {what}; write MODULE:NAME, for example shop:{usual}")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except FrontdeskError:
        raise  # it says itself what is declared wrongly
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            hint = "run this in the folder that holds it"
            if module_name.endswith(".py"):
                hint = f"a module is named without .py: {module_name.removesuffix('.py')}:{attribute or usual}"
            raise DeskError(f"there is no module {module_name!r} here; {hint}") from error
        raise DeskError(f"{module_name} cannot be imported:\n{_told(error)}") from error
    return getattr(module, attribute or usual, None)


def _told(error: Exception) -> str:
    """A traceback that begins where the module does: how it came to be imported is nobody's business."""
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename.startswith((__file__, importlib.__file__, "<frozen importlib")):
        trace = trace.tb_next
    return "".join(traceback.format_exception(error.with_traceback(trace))).rstrip()


def choose_desk(where: str | None, folder: Path, settings: Settings) -> Desk[Any]:
    """The desk that was named, else the demo desk on the folder. Raises DeskError."""
    return find_desk(where) if where else demo_desk(folder, state_of(settings, folder))


def state_of(settings: Settings, folder: Path) -> Path:
    """Where `chat`, `demo` and the demo desk keep what belongs to this folder; it is made."""
    whole = folder.resolve()
    name = hashlib.sha256(str(whole).encode()).hexdigest()[:8]
    return make_state(settings.state_folder / f"{whole.name or 'root'}-{name}")


def make_state(state: Path) -> Path:
    """The folder, made for this person alone. Raises DeskError."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise DeskError(f"{state} cannot be made ({error.strerror}); set XDG_STATE_HOME to another folder") from error
    return state


def demo_desk(folder: Path, state: Path) -> Desk[Any]:
    """The demo desk on a folder; ``state`` is where it keeps its own files. Raises DeskError."""
    if not folder.is_dir():
        raise DeskError(f"there is no folder {folder}; choose another with --folder")
    from ..examples.front_desk.desk import build

    return cast("Desk[Any]", build(folder, state=state))  # the checkers know the examples under another name


@contextmanager
def open_database(settings: Settings, default: str = DATABASE) -> Generator[Database]:
    """The database, closed at the end. Raises a DatabaseError that says what to do."""
    database = open_patiently(
        settings.database or default,
        seconds=settings.database_wait_seconds,
        told=lambda what: print(f"frontdesk: {what}", file=sys.stderr, flush=True),  # noqa: T201 - this is the program
    )
    try:
        yield database
    finally:
        database.close()


def default_model(settings: Settings) -> Model:
    """OpenAI's model when a key is set, else the rule-based stand-in that needs none."""
    key = settings.openai_api_key.get_secret_value()
    if not key:
        from ..agents.models.offline import OfflineModel

        return OfflineModel()
    from ..agents.models.chat import ChatModel
    from ..agents.models.responses import ResponsesModel

    kind = ChatModel if settings.api == "chat" else ResponsesModel
    model = kind(settings.model, api_key=key, base_url=settings.openai_base_url)
    if settings.tool_format == "native":
        return model
    from ..agents.models.call_formats import FORMATS
    from ..agents.models.prompted import PromptedModel

    return PromptedModel(model, FORMATS[settings.tool_format]())


def _prices(settings: Settings) -> dict[str, Price]:
    """Raises InvalidOption."""
    for model, given in settings.prices.items():
        if not {"input", "output"} <= given.keys():
            raise InvalidOption(f"FRONTDESK_PRICES: the price of {model} needs an input and an output")
    return {model: Price(**given) for model, given in settings.prices.items()}


def with_model(desk: Desk[Any], settings: Settings) -> Desk[Any]:
    """The desk with a model for everyone, and prices; what it does not need is not loaded."""
    if settings.prices:
        desk = desk.changed(prices={**_prices(settings), **desk.options.prices})
    return desk.using(default_model(settings)) if desk.lacks_model else desk


def door_of(settings: Settings) -> Door:
    """Who is let in. Raises DeskError when ``authenticate`` names no function."""
    return Door(
        token=settings.token.get_secret_value(),
        origins=settings.listed_origins,
        authenticate=find_authenticate(settings.authenticate) if settings.authenticate else None,
    )


def wants_token(door: Door, database: Database) -> bool:
    """Whether nobody is let in without one: then more than loopback may be listened on."""
    return door.is_guarded or database.read_blocking(tokens.are_there)


def service_of(
    desk: Desk[Any], database: Database, settings: Settings, *, working: bool = True, door: Door | None = None
) -> Service:
    """The desk with its embedded worker (unless not ``working``), as it is served. Close the database after the server
    has ended."""
    desk = with_model(desk, settings)
    return Service(
        desk,
        database,
        worker=worker_of(desk, database, settings) if working else None,
        door=door or door_of(settings),
        limits=Limits(
            stall_seconds=settings.stall_seconds,
            connections=settings.connections,
            requests_per_minute=settings.requests_per_minute,
        ),
        drain_seconds=settings.drain_seconds,
        grace_seconds=settings.grace_seconds,
    )


def worker_of(desk: Desk[Any], database: Database, settings: Settings) -> Worker:
    """The desk's worker as it is set."""
    return desk.worker(
        database,
        turns=settings.turns,
        tasks=settings.tasks,
        queues=settings.listed_queues,
        grace=settings.grace_seconds,
        webhook_secret=settings.webhook_secret.get_secret_value(),
        keep=Keep(seconds=settings.keep_events_days * DAY, events=settings.keep_events),
    )


def run_worker(desk: Desk[Any], database: Database, settings: Settings, *, ready: Callable[[], None]) -> None:
    """Runs the desk's turns and tasks until SIGINT or SIGTERM."""
    worker = worker_of(with_model(desk, settings), database, settings)
    with StopSignals() as signals:
        worker.start()
        ready()
        signals.wait()
        worker.stop_blocking()
