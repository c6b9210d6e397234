"""Probes turn a trace into measurements per block; one file per question."""

from .alignment import Alignment as Alignment
from .gain import Gain as Gain
from .performance import Performance as Performance
from .prediction import Prediction as Prediction
from .probe import Probe as Probe
from .update_norm import UpdateNorm as UpdateNorm
