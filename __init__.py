"""Frontdesk: a self-hosted, durable, multi-agent server.

The repository root is this package: ``agents/`` is ``frontdesk.agents``, and so on. Nothing is imported here, so that
``import frontdesk.tasks`` costs only what tasks cost.
"""

__version__ = "0.1.0"
