"""The ``offline`` model: a rule-based stand-in for a language model, for any desk. It plans over the tools that it is
given.
"""

from .stand_in import OfflineModel as OfflineModel
