"""Who decides: agents, tools, models, conversations, turns, desks. Knows nothing of sockets."""

from ..tasks.errors import ToolError as ToolError
from ..tasks.hidden import Hidden as Hidden
from .agent import Agent as Agent
from .answer import Answer as Answer
from .compaction import Compaction as Compaction
from .context import Context as Context
from .desk import Desk as Desk
from .errors import DeskError as DeskError
from .handoff import Handoff as Handoff
from .limits import Budget as Budget
from .limits import Limits as Limits
from .model import ModelSettings as ModelSettings
from .prices import Price as Price
from .summarize import Summarize as Summarize
from .tool import tool as tool
from .toolset import Toolset as Toolset
