"""``frontdesk new`` and ``frontdesk check``: for people who write desks. No server and no database is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .commands import AsJSON, Exit, epilog, fail

app = typer.Typer()


@app.command(short_help="Begin a desk of your own.", epilog=epilog("frontdesk new shop"))
def new(
    name: Annotated[str, typer.Argument(help="Its name, and the folder's: small letters, digits and '_'.")],
    folder: Annotated[Path, typer.Option(help="Where its folder is made.", show_default="this one")] = Path(),
) -> None:
    """Begin a desk of your own: a folder with a small desk, and tests for it that pass."""
    from .scaffold import write_desk

    files = write_desk(name, folder)
    listed = "\n".join(f"  {file}" for file in files)
    typer.echo(f"made\n{listed}\n\nTry it:\n  cd {files[0].parent}\n  frontdesk chat {name}_desk:desk\n  pytest")


@app.command(short_help="Look a desk over, and draw it.", epilog=epilog("frontdesk check shop:desk --svg desk.svg"))
def check(
    desk: Annotated[str, typer.Argument(metavar="MODULE:DESK", help="The desk.")],
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw it into this file; - for stdout.", show_default=False)
    ] = None,
    mermaid: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="As a Mermaid flowchart, for pages of Markdown.", show_default=False),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are failures, for CI.")] = False,
    as_json: AsJSON = False,
) -> None:
    """Look a desk over: what is wrong, what is perhaps not meant, and what it looks like.

    What cannot work (a colleague who is not there, two tools of one name, a schema that nobody accepts) is an error,
    with exit code 5. Warnings fail with --strict only, with exit code 1.
    """
    from ..agents.drawing import mermaid as as_mermaid
    from ..agents.drawing import svg as as_svg
    from ..agents.review import review
    from .assembly import find_desk
    from .desk_lines import as_object, lines_of

    found = find_desk(desk)
    for file, draw in ((svg, as_svg), (mermaid, as_mermaid)):
        if file is not None:
            _write(file, draw(found))
    findings = review(found)
    if str(svg) != "-" and str(mermaid) != "-":
        typer.echo(as_object(found, findings) if as_json else "\n".join(lines_of(found, findings)))
    if not as_json:
        for file in filter(None, (svg, mermaid)):
            if str(file) != "-":
                typer.echo(f"drawn into {file}")
    if strict and any(one.level == "warning" for one in findings):
        raise typer.Exit(Exit.FAILED)


def _write(file: Path, text: str) -> Any:
    if str(file) == "-":
        return typer.echo(text, nl=False)
    try:
        return file.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(Exit.FAILED, f"{file} cannot be written: {error.strerror}")
