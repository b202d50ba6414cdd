"""What a task is: its states, its options, the typed functions that it runs, their durable calls. No database, no
clock.
"""

from .context import TaskContext as TaskContext
from .context import TaskHandle as TaskHandle
from .context import TaskOutcome as TaskOutcome
from .errors import FrontdeskError as FrontdeskError
from .errors import Retry as Retry
from .errors import ToolError as ToolError
from .hidden import Hidden as Hidden
from .registry import TaskFunction as TaskFunction
from .registry import task as task
from .retry import RetryPolicy as RetryPolicy
