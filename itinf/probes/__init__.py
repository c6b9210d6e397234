"""Probes: they turn a trace into measurements of every block. Each question has its own file."""

from .alignment import Alignment as Alignment
from .borderline import Borderline as Borderline
from .closed_loop import ClosedLoop as ClosedLoop
from .convergence import Convergence as Convergence
from .distribution import Distribution as Distribution
from .estimation_error import EstimationError as EstimationError
from .gain import Gain as Gain
from .later_response import LaterResponse as LaterResponse
from .lesion import Lesion as Lesion
from .paths import Paths as Paths
from .performance import Performance as Performance
from .persistence import Persistence as Persistence
from .prediction import Prediction as Prediction
from .probe import Probe as Probe
from .recovery import Recovery as Recovery
from .repeat import Repeat as Repeat
from .similarity import Similarity as Similarity
from .swap import Swap as Swap
from .update_norm import UpdateNorm as UpdateNorm
from .variance_shares import VarianceShares as VarianceShares
