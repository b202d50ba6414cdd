"""The least that a server on the same libraries can be: one table made with sqlmodel, one route of starlette, uvicorn.

python -m frontdesk.bench.plain_server PORT DATABASE
"""

from __future__ import annotations

import sys

import uvicorn
from sqlmodel import Field, Session, SQLModel, create_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


class Note(SQLModel, table=True):
    """A table, so that there is one to make."""

    id: int | None = Field(default=None, primary_key=True)
    text: str = ""


async def healthz(request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")


def main(port: int, database: str) -> None:
    engine = create_engine(f"sqlite:///{database}")
    SQLModel.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Note(text="started"))
        session.commit()
    app = Starlette(routes=[Route("/healthz", healthz)])
    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
