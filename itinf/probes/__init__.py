"""Probes: they turn a trace into measurements of every block. Each question has its own file."""

from .alignment import Alignment as Alignment
from .gain import Gain as Gain
from .paths import Paths as Paths
from .performance import Performance as Performance
from .persistence import Persistence as Persistence
from .prediction import Prediction as Prediction
from .probe import Probe as Probe
from .update_norm import UpdateNorm as UpdateNorm
