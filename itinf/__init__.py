"""itinf: is depth iterative inference? The same probes for ResNets, Inception v1 and GPT-2.

Names are loaded when first used, so that the command line can answer without loading torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .architecture import Block as Block
    from .architecture import Network as Network
    from .architecture import image as image
    from .architecture import modules as modules
    from .architecture import token as token
    from .checking import check as check
    from .comparison import Comparison as Comparison
    from .comparison import compare as compare
    from .data import IGNORED as IGNORED
    from .data import Batch as Batch
    from .data import Data as Data
    from .errors import ItinfError as ItinfError
    from .lenses.fit import fit as fit
    from .lenses.lens import Lens as Lens
    from .lenses.study import Transfer as Transfer
    from .lenses.study import transfer as transfer
    from .probes import Alignment as Alignment
    from .probes import Gain as Gain
    from .probes import Performance as Performance
    from .probes import Prediction as Prediction
    from .probes import UpdateNorm as UpdateNorm
    from .registry import dataset as dataset
    from .registry import network as network
    from .registry import register as register
    from .run import Run as Run
    from .run import merge as merge
    from .study import default_probes as default_probes
    from .study import probe as probe
    from .tracing import trace as trace
    from .weights import load as load

__version__ = "0.1.0"

_HOMES = {
    "architecture": ("Block", "Network", "image", "modules", "token"),
    "checking": ("check",),
    "comparison": ("Comparison", "compare"),
    "data": ("IGNORED", "Batch", "Data"),
    "errors": ("ItinfError",),
    "lenses.fit": ("fit",),
    "lenses.lens": ("Lens",),
    "lenses.study": ("Transfer", "transfer"),
    "probes": ("Alignment", "Gain", "Performance", "Prediction", "UpdateNorm"),
    "registry": ("dataset", "network", "register"),
    "run": ("Run", "merge"),
    "study": ("default_probes", "probe"),
    "tracing": ("trace",),
    "weights": ("load",),
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
