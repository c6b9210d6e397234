"""itinf: is depth iterative inference? The same probes for ResNets, Inception v1 and GPT-2.

Names are loaded when they are first used, so that the command line can print its help without loading torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data.dataset import IGNORED as IGNORED
    from .data.dataset import Batch as Batch
    from .data.dataset import Data as Data
    from .data.items import items as items
    from .errors import ItinfError as ItinfError
    from .lenses.fit import fit as fit
    from .lenses.kinds import LensKind as LensKind
    from .lenses.lens import Lens as Lens
    from .lenses.trajectory.examples import examples as examples
    from .lenses.trajectory.trajectory import trajectory as trajectory
    from .lenses.transfer.transfer import transfer as transfer
    from .networks.check import check as check
    from .networks.network import Block as Block
    from .networks.network import Network as Network
    from .networks.network import image as image
    from .networks.network import modules as modules
    from .networks.network import token as token
    from .networks.opening import open_model as open_model
    from .networks.trace import trace as trace
    from .networks.weights import build as build
    from .networks.weights import load as load
    from .probes import Alignment as Alignment
    from .probes import Borderline as Borderline
    from .probes import ClosedLoop as ClosedLoop
    from .probes import Convergence as Convergence
    from .probes import Distribution as Distribution
    from .probes import EstimationError as EstimationError
    from .probes import Gain as Gain
    from .probes import LaterResponse as LaterResponse
    from .probes import Lesion as Lesion
    from .probes import Paths as Paths
    from .probes import Performance as Performance
    from .probes import Persistence as Persistence
    from .probes import Prediction as Prediction
    from .probes import Probe as Probe
    from .probes import Recovery as Recovery
    from .probes import Repeat as Repeat
    from .probes import Similarity as Similarity
    from .probes import Swap as Swap
    from .probes import UpdateNorm as UpdateNorm
    from .probes import VarianceShares as VarianceShares
    from .registry import dataset as dataset
    from .registry import network as network
    from .registry import register as register
    from .results.comparison import Comparison as Comparison
    from .results.comparison import compare as compare
    from .results.estimators import Estimator as Estimator
    from .results.probe_result import ProbeResult as ProbeResult
    from .results.probe_result import merge as merge
    from .results.report import report as report
    from .results.trajectory import Trajectory as Trajectory
    from .results.transfer_result import TransferResult as TransferResult
    from .settings import Settings as Settings
    from .statistics.nulls import Null as Null
    from .studies.probe import default_probes as default_probes
    from .studies.probe import probe as probe
    from .studies.recover import loop as loop
    from .studies.recover import recover as recover
    from .studies.study import run_study as run_study
    from .studies.study_file import Study as Study
    from .studies.study_file import StudyNetwork as StudyNetwork

__version__ = "0.1.0"

_HOMES = {
    "data.dataset": ("IGNORED", "Batch", "Data"),
    "data.items": ("items",),
    "errors": ("ItinfError",),
    "lenses.fit": ("fit",),
    "lenses.kinds": ("LensKind",),
    "lenses.lens": ("Lens",),
    "lenses.trajectory.examples": ("examples",),
    "lenses.trajectory.trajectory": ("trajectory",),
    "lenses.transfer.transfer": ("transfer",),
    "networks.check": ("check",),
    "networks.network": ("Block", "Network", "image", "modules", "text", "token"),
    "networks.opening": ("open_model",),
    "networks.trace": ("trace",),
    "networks.weights": ("build", "load"),
    "probes": (
        "Alignment",
        "Borderline",
        "ClosedLoop",
        "Convergence",
        "Distribution",
        "EstimationError",
        "Gain",
        "LaterResponse",
        "Lesion",
        "Paths",
        "Performance",
        "Persistence",
        "Prediction",
        "Probe",
        "Recovery",
        "Repeat",
        "Similarity",
        "Swap",
        "UpdateNorm",
        "VarianceShares",
    ),
    "registry": ("dataset", "network", "register"),
    "results.comparison": ("Comparison", "compare"),
    "results.estimators": ("Estimator",),
    "results.probe_result": ("ProbeResult", "merge"),
    "results.report": ("report",),
    "results.trajectory": ("Trajectory",),
    "results.transfer_result": ("TransferResult",),
    "settings": ("Settings",),
    "statistics.nulls": ("Null",),
    "studies.probe": ("default_probes", "probe"),
    "studies.recover": ("loop", "recover"),
    "studies.study": ("run_study",),
    "studies.study_file": ("Study", "StudyNetwork"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'itinf' has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
