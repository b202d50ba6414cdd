"""What a docstring tells a model: the description of a function, and of its parameters. Google, NumPy and Sphinx
styles.

griffe does the parsing. Importing it costs a quarter of a second, so it is imported only for a docstring that has
sections.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import cleandoc
from typing import Final

# The beginning of a section in any of the three styles. A docstring without one is all description.
_SECTION: Final = re.compile(
    r"^[ \t]*:\w[^:\n]*:"  # Sphinx  :param x:
    r"|^[ \t]*[A-Z][\w ]+:[ \t]*\n[ \t]+\S"  # Google  Args:
    r"|^[ \t]*\w[\w ]+\n[ \t]*-{3,}[ \t]*$",  # NumPy  Parameters
    re.MULTILINE,
)
# The headings that griffe passes over when the line before them is not empty, as people often leave it.
_HEADING: Final = re.compile(
    r"(?<=\S)\n(?="
    r"(?:(?:Keyword |Other )?(?:Args|Arguments|Params|Parameters)|Returns?|Yields?|Raises|Examples?):[ \t]*\n[ \t]+\S"
    r"|(?:Other )?Parameters[ \t]*\n-{3,}|(?:Returns|Yields|Raises|Notes|Examples)[ \t]*\n-{3,})"
)
_EMPTY_LINE: Final = "\n\n"
_SUMMARY: Final = "…"


@dataclass(frozen=True, slots=True)
class Described:
    """The text outside of sections, with its notes and warnings, and a text for each parameter that has one. What it
    returns, yields and raises, and examples, are for people who read code. Lines are kept, indentation is not.
    """

    text: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])


def described(docstring: str | None) -> Described:
    """Read ``docstring``; None is an empty one. Never raises: what is not understood stays part of the text or is
    left out."""
    clean = cleandoc(docstring or "").strip()
    if not _SECTION.search(clean):
        return Described(clean)
    return _parsed(clean)


def _parsed(clean: str) -> Described:
    from griffe import (
        Docstring,
        DocstringSectionAdmonition,
        DocstringSectionParameters,
        DocstringSectionText,
        PerStyleOptions,
        parse_auto,
    )

    texts: list[str] = []
    parameters: dict[str, str] = {}
    # griffe warns that types are missing from the docstring: they are in the annotations.
    quiet: PerStyleOptions = {
        "google": {"warnings": False},
        "numpy": {"warnings": False},
        "sphinx": {"warnings": False},
    }
    # The first line is taken for a summary, also where a section begins there: so one is put before it.
    sections = parse_auto(Docstring(f"{_SUMMARY}\n\n{_HEADING.sub(_EMPTY_LINE, clean)}"), per_style_options=quiet)
    for section in sections:
        if isinstance(section, DocstringSectionText):
            texts.append(section.value.strip().removeprefix(_SUMMARY).strip())
        elif isinstance(section, DocstringSectionAdmonition) and section.value.kind != "example":
            texts.append(f"{section.title or section.value.kind}: {section.value.contents.strip()}")
        elif isinstance(section, DocstringSectionParameters):
            parameters |= {item.name.lstrip("*"): item.description.strip() for item in section.value}
    return Described("\n\n".join(filter(None, texts)), parameters)
