"""Training of the predictive-coding language model, of its two controls, and of a GPT-2 of its size: ``itinf train``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from itinf import ItinfError, Network
from itinf.data.clusters import Progress
from itinf.settings import one_of
from itinf.training.specimen import Score

from .compression import bits_per_byte_of_each
from .correction import ERRORS
from .huggingface import Family
from .predictive import FAMILY, PredictiveConfig, predictive, specimen_folder
from .specimens import SIZES as GPT2_SIZES
from .specimens import SMALL
from .train import PAIRS, LanguageSpecimen, Recipe

RECIPE = Recipe(tokens=3_072_000, batch=8, other_learning_rate=3e-3, muon=False, precision="float32", weight_decay=0.0)
"""AdamW for all parameters. All that use it read the same windows in the same order."""


@dataclass(frozen=True)
class PredictiveSpecimen(LanguageSpecimen):
    """A predictive-coding language model, its recipe, and its compression after every layer.

    Attributes:
        error: what its layers subtract, see ``language.correction.errors``; the name says it of the controls.
    """

    error: str = "prediction"

    @property
    def command(self) -> str:
        return "itinf train predictive" + ("" if self.error == "prediction" else f" -O error={self.error}")

    def changed(self, options: dict[str, Any]) -> PredictiveSpecimen:
        """The specimen with an option: ``error`` is prediction, truth or ascent.

        Raises:
            ItinfError: another option, or another error.
        """
        if other := options.keys() - {"error"}:
            raise ItinfError(f"{self.name} was given the option {min(other)!r} to train with; it has only error.")
        error = one_of(f"{self.name}: error", options.get("error", self.error), ERRORS)
        return replace(self, name=specimen_folder(error), error=error)

    def evaluate(self, folder: Path, *, split: str, progress: Progress) -> list[Score]:
        """Bits per byte of held-out modules, of the last state and then of every state before it.

        The first state has to compress better than counts of token pairs, every other better than the state before it. The
        layers of truth have to improve on the first state: what they add is not what is missing, so the last may add too
        much. Those of ascent, where the errors have the other sign, must not.
        """
        what, text = self._held_out(split)
        network = self._opened(folder)
        model = network.model

        def read(ids: Any) -> list[Any]:
            return [model.read(state) for state in model.states(ids)]  # type: ignore[operator]

        bits, tokens = bits_per_byte_of_each(network, text, read, progress=progress)
        error = model.config.error  # type: ignore[union-attr]
        better: Literal["lower", "higher"] = "higher" if error == "ascent" else "lower"
        first = Score(f"{what}, state 0", bits[0], tokens, self._pairs(network, split, text), "lower", PAIRS)
        later = []
        for k in range(1, len(bits)):
            bound = k - 1 if error == "prediction" else 0
            later.append(Score(f"{what}, state {k}", bits[k], tokens, bits[bound], better, f"state {bound}"))
        return [replace(later[-1], what=what), first, *later[:-1]]

    @property
    def _family(self) -> Family:
        return FAMILY

    def _config(self) -> Any:
        fields: dict[str, Any] = dict(self.sizes)
        return PredictiveConfig(**fields, error=self.error, bos_token_id=0, eos_token_id=0)

    def _opened(self, folder: Path) -> Network:
        return predictive(str(folder))


SIZES = {"vocab_size": 2048, "width": 128, "depth": 4, "window": 4, "heads": 4, "context": 256}
PREDICTIVE = PredictiveSpecimen("predictive", tuple(SIZES.items()), RECIPE, gate=PAIRS)
PREDICTIVE_GPT2 = LanguageSpecimen(
    "predictive-gpt2",
    tuple((GPT2_SIZES | SMALL).items()),
    RECIPE,
    gate=PAIRS,
)
