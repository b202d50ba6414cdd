"""What the commands of the command line have in common: options, exit codes, and how an error is said."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from pydantic import ValidationError

from ..agents.errors import DeskError
from ..broker.errors import DatabaseError, DatabaseInUse
from ..tasks.errors import FrontdeskError
from .errors import AddressError
from .redaction import Redacting
from .settings import Settings

SWITCH_SECONDS: Final = 0.0005
NEW_OBJECTS: Final = 10_000  # that may hold others, before Python looks for cycles among them


class Exit(IntEnum):
    """What a command can end with."""

    OK = 0
    FAILED = 1  # a response, a task, a request or a backup
    USAGE = 2
    UNREACHABLE = 3  # no server there, or no address to listen on
    DATABASE = 4
    DESK = 5
    INTERRUPTED = 130


EXITS = """\b
Exit codes:
  0    all went well
  1    a response, a task, a request or a backup failed
  2    wrong usage
  3    no server there, or no address to listen on
  4    the database cannot be used
  5    the desk cannot be loaded
  130  interrupted"""

DeskName = Annotated[
    str | None,
    typer.Argument(metavar="MODULE:DESK", help="A desk of yours; without one, the demo desk.", show_default=False),
]
Folder = Annotated[Path, typer.Option(help="The folder that the demo desk works on.", show_default="this one")]
Database = Annotated[
    str | None,
    typer.Option(metavar="URL", help="sqlite:///FILE or postgresql://USER@HOST/NAME.", show_default=False),
]
ServerAddress = Annotated[
    str | None, typer.Option("--server", metavar="URL", help="The address of a running server.", show_default=False)
]
Conversation = Annotated[
    str | None,
    typer.Option(
        metavar="ID", help="A conversation to go on with, `last` or `new`.", show_default="last at a terminal, else new"
    ),
]
Turns = Annotated[int | None, typer.Option(min=0, help="Turns that run here at once; 0 for none.", show_default="8")]
Tasks = Annotated[int | None, typer.Option(min=0, help="Tasks that run here at once; 0 for none.", show_default="16")]
Queues = Annotated[
    str | None, typer.Option(help="Queues whose tasks run here, separated by commas.", show_default="all")
]
Token = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="What clients must show; better in FRONTDESK_TOKEN.", show_default=False),
]
Authenticate = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:FUNCTION", help="A function of yours that says who a request comes from.", show_default=False
    ),
]
TLSCertificate = Annotated[
    Path | None,
    typer.Option("--tls-cert", metavar="FILE", help="Certificate chain, for https.", show_default=False),
]
TLSKey = Annotated[
    Path | None,
    typer.Option("--tls-key", metavar="FILE", help="Its private key, when that lies elsewhere.", show_default=False),
]
AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def epilog(example: str) -> str:
    """The end of a command's help."""
    return f"\b\nExample:\n  {example}\n\n{EXITS}"


def settings(**options: Any) -> Settings:
    """Settings from the environment, and from the options that were given. Raises ValidationError."""
    return Settings(**{name: value for name, value in options.items() if value is not None})


def log_to_stderr(chosen: Settings) -> None:
    """Only programs configure logging; the storeys have named loggers."""
    handler = logging.StreamHandler()
    handler.setFormatter(Redacting("%(asctime)s %(levelname)s %(name)s: %(message)s", chosen.secrets))
    logging.basicConfig(level=chosen.log_level.upper(), handlers=[handler])


def share_processor() -> None:
    """Of a process that is ours: its threads (server, worker, writer) wait for each other less long.

    Python lets a thread that computes go on for 5 ms while another one waits; each commit and each send waits so.
    """
    sys.setswitchinterval(SWITCH_SECONDS)


def settle_memory() -> None:
    """Of a process that is ours, when all is loaded: what is there now stays, so it is not searched for garbage again.

    Cycles are rare in what a turn makes, and its conversation's history stays too: Python looks less often.
    """
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS)


def fail(code: Exit, message: object) -> NoReturn:
    """Says what is wrong on stderr, and ends the process."""
    print(f"frontdesk: {message}", file=sys.stderr)  # noqa: T201 - this is the program
    raise SystemExit(int(code))


@contextmanager
def or_at_the_server() -> Generator[None]:
    """Of commands that take ``--server``: a database that is in use can be reached through who has it."""
    try:
        yield
    except DatabaseInUse as error:
        raise DatabaseInUse(error.path, error.holder, served=True) from None


def explain(error: Exception) -> NoReturn:
    """Ends the process with the exit code and the message of an error that is not a bug; raises any other again."""
    match error:
        case AddressError():
            fail(Exit.UNREACHABLE, error)
        case DatabaseError():
            fail(Exit.DATABASE, error)
        case DeskError():
            fail(Exit.DESK, error)
        case ValidationError():
            problems = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            fail(Exit.USAGE, "; ".join(problems))
        case FrontdeskError():
            fail(Exit.FAILED, error)
        case _:
            raise error
