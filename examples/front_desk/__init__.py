"""The front desk: triage, your files, a pizza counter and a market desk.

``frontdesk serve frontdesk.examples.front_desk:desk`` serves it for the files below the current folder.
"""

from __future__ import annotations

from pathlib import Path

from .desk import STATE
from .desk import build as build

desk = build(Path.cwd(), state=Path.cwd() / STATE)
