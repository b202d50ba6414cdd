"""Who decides: agents, tools, models, conversations, turns, desks. Knows nothing of sockets."""

from ..tasks.errors import ToolError as ToolError
from ..tasks.hidden import Hidden as Hidden
from .agent import Agent as Agent
from .answer import Answer as Answer
from .context import Context as Context
from .desk import Desk as Desk
from .errors import DeskError as DeskError
from .model import ModelSettings as ModelSettings
from .summarize import Summarize as Summarize
from .team import Limits as Limits
from .tool import tool as tool
from .toolset import Toolset as Toolset
