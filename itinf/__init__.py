"""itinf: is depth iterative inference? The same probes for ResNets, Inception v1 and GPT-2."""

from .checking import check as check
from .comparison import compare as compare
from .data import IGNORED as IGNORED
from .data import Batch as Batch
from .data import Data as Data
from .errors import ItinfError as ItinfError
from .network import Block as Block
from .network import Network as Network
from .network import image as image
from .network import modules as modules
from .network import token as token
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
from .trace import trace as trace
from .weights import load as load

__version__ = "0.1.0"
