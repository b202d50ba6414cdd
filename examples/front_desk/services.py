"""What the desk's tools and tasks work with: ``context.dependencies``. Made once per desk, for all conversations."""

from __future__ import annotations

from dataclasses import dataclass

from .folder import Folder
from .market import MarketSettings


@dataclass(frozen=True, slots=True)
class Services:
    folder: Folder
    market: MarketSettings
