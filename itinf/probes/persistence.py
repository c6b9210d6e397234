"""The persistence probe: is what is read at a state used as a prediction by the blocks that follow?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from ..lenses.lens import translators_at
from ..networks.network import Network
from ..networks.readout import classes_of
from ..results.ratios import PartnerExcess, PartnerRatio
from ..results.reasons import NO_READOUT, NO_TRANSLATOR, OTHER_SHAPE, Reason
from ..results.recorder import Recorder
from ..results.row import Row
from ..settings import whole
from .batch import ProbeBatch
from .effects import Aims, Effects, aims_of, finite, first_order
from .probe import NullChoice, Probe
from .sample import sample

CLASSES = ("label", "wrong", "random")
"""Kinds of classes that are nudged, in the column ``target``."""
RATIOS = {"persistence": ("later", "square"), "carried_alone": ("alone", "square"), "kept": ("later", "alone")}
"""Measure -> the sums over units that it is the ratio of, see ``Effects``."""
ONE_IN = {"image": 4, "text": 4, "token": 1}
"""Unit of a network -> one cluster in so many is measured."""


@dataclass(frozen=True, repr=False)
class Persistence(Probe):
    """What becomes, at the end of the network, of a small nudge of what is read at a state.

    At state l, d = ∂[z_v − mean z]/∂h is the direction that raises the readout of class v, and the state is nudged along
    it. All numbers are about the same unit, in rows about states, with the network's own last logits at the end:

    * ``persistence``: nats at the end for each nat at the state: ⟨∂[z_v − mean z](h_L)/∂h_l, d⟩ / |d|². 1 means carried
      along; between 0 and 1 corrected; above 1 amplified; 0 not read by later blocks; negative undone. At h_L it is 1.
    * ``carried_alone``: the same nudge added to h_L unchanged. States grow with depth and the last norm divides by their
      size, so a nudge that is only carried also fades; without a norm this is 1.
    * ``kept``: persistence / carried alone, what the later blocks leave of it.
    * ``selectivity``: ``kept`` of another unit's most probable wrong class minus ``kept`` of the unit's own. Positive means
      that the unit's own error is taken back more than what others believe.

    The class is the label, the unit's most probable wrong class at that state ("wrong"), or a random wrong class. The null
    "pairing" takes the most probable wrong class of another cluster's unit. There is no selectivity against random
    classes: frequent classes and rare ones persist differently, whatever this unit believes.

    Each number is a ratio of sums over units. Persistence to first order is exact; in the form "finite" the state is
    nudged by 1 nat and the network runs on, and ``finite_same_sign`` is the share of units in which both agree in sign.
    In texts one random position of each sequence is nudged, and read at the end.

    Entries of a state that are exactly zero, such as those at which a ReLU is closed, are not nudged. Under the gauge
    "channel-scale" the direction is d·σ², with the variance σ² of each channel over the segment; then no
    number depends on the basis of the states. Of a network without a gauge they do: there the direction is d itself.

    Attributes:
        nulls: "pairing", or a null of your own that has partners.
        one_in: one cluster in so many is measured; None for one image in 4, and every sequence of tokens.
        finite_one_in: of the measured clusters, one in so many is also nudged by 1 nat.
        lens: a lens; states are read and nudged through it, and the last logits are the network's own.
        name: name of the lens in the table; by default its kind.

    Raises:
        ItinfError: ``one_in`` or ``finite_one_in`` is less than 1.
    """

    nulls: Sequence[NullChoice] = ("pairing",)
    one_in: int | None = None
    finite_one_in: int = 8

    measure = "persistence"
    statistic = "ratio"
    scales = True

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("one_in", self.one_in, 1, "one cluster in so many is measured", optional=True)
        whole("finite_one_in", self.finite_one_in, 1, "one measured cluster in so many is nudged by 1 nat")

    def without_nulls(self) -> Persistence:
        """The same probe: selectivity needs partners, also in an untrained network."""
        return self

    def missing_rows(self, network: Network) -> list[Row]:
        assert self.lens is not None
        states = [site.id for site in self.lens.sites if isinstance(site.id, int)]
        return [
            Row("persistence", 0, network.unit, "ratio", target=target, lens=self.lens_name, state=state)
            for state, target in product(states, CLASSES)
        ]

    def measure_batch(self, batch: ProbeBatch, record: Recorder) -> None:
        trace, network = batch.trace, batch.network
        through = {i: t for i, t in translators_at(trace, self.lens).items() if isinstance(i, int)}
        number = classes_of(network, trace.per_prediction(len(trace.states) - 1))
        one_in = ONE_IN[network.unit] if self.one_in is None else self.one_in
        chosen = sample(trace, batch.seed, number, one_in, self.finite_one_in)
        aims = aims_of(batch, chosen, through, [batch.partners[null] for null in self.partner_nulls], number)
        effects, change = first_order(aims), finite(aims, slice(0, 2))
        carries = aims.carries()
        for place, state in enumerate(through):
            rows = _Rows(self, record, aims, effects, state, place, carries[place])
            rows.observed()
            rows.finite(change[place])
            for kind, null in enumerate(self.partner_nulls, len(CLASSES)):
                rows.partnered(null, kind)
        why = NO_READOUT if self.lens is None else NO_TRANSLATOR
        for state in sorted(set(range(len(trace.states))) - set(through)):
            self.absent(batch, record, state, RATIOS, why)

    def absent(self, batch: ProbeBatch, record: Recorder, state: int, measures: Iterable[str], why: Reason) -> None:
        """Adds rows without a value about a state, and that of selectivity."""
        rows = list(product(measures, CLASSES))
        rows += [("selectivity", "wrong")] if "pairing" in self.null_names else []
        for measure, target in rows:
            columns = {"statistic": "ratio", "target": target, "lens": self.lens_name}
            record.absent(batch.state_row(measure, state, **columns), why)


class _Rows:
    """The rows about one state."""

    def __init__(
        self, probe: Persistence, record: Recorder, aims: Aims, effects: Effects, state: int, place: int, carries: bool
    ) -> None:
        self.probe, self.record, self.aims, self.state, self.carries = probe, record, aims, state, carries
        self.effects = {name: self._spread(values[place]) for name, values in vars(effects).items()}  # (K, N, P)
        self.known = self.effects["square"] > 0
        self.again = self._spread(aims.sample.again.double().unsqueeze(0))[0] > 0
        shares = f"{probe.one_in}, {probe.finite_one_in}"  # two probes of other shares do not measure in one way
        self.tag = "|".join(("persistence", probe.lens_name, shares, str(state)))

    def _spread(self, values: Tensor) -> Tensor:
        """(K, N, P): values (K, M) of the sample in the places of its units; 0 for all others."""
        targets = self.aims.batch.trace.targets
        every = torch.zeros(len(values), targets.numel(), dtype=torch.float64, device=values.device)
        every[:, self.aims.sample.units] = values
        return every.view(len(values), *targets.shape)

    def _row(self, measure: str, target: str, **columns: str) -> Row:
        named = {"statistic": "ratio", "target": target, "lens": self.probe.lens_name} | columns
        return self.aims.batch.state_row(measure, self.state, **named)

    def _measures(self) -> list[str]:
        """The measures that the state has: without a carried nudge there is persistence alone."""
        return list(RATIOS) if self.carries else ["persistence"]

    def observed(self) -> None:
        for kind, target in enumerate(CLASSES):
            tag, known = f"{self.tag}|{target}", self.known[kind]
            count = self.record.count(f"{tag}|n", known)
            sums = {name: self.record.total(f"{tag}|{name}", x[kind], known) for name, x in self.effects.items()}
            for measure in self._measures():
                row, (above, below) = self._row(measure, target), RATIOS[measure]
                self.record.quotient(row, sums[above], sums[below], count)
                if below == "square":
                    size = torch.where(known, self.effects["square"][kind], 1.0)
                    self.record.median(row, self.effects[above][kind] / size, known, count)
        if not self.carries:
            lost = [measure for measure in RATIOS if measure != "persistence"]
            self.probe.absent(self.aims.batch, self.record, self.state, lost, OTHER_SHAPE)

    def finite(self, change: Tensor) -> None:
        """The rows of the finite nudge; ``change`` (K, M) for the first kinds of classes."""
        for kind, (target, values) in enumerate(zip(CLASSES, self._spread(change), strict=False)):
            tag, known = f"{self.tag}|{target}|finite", self.known[kind] & self.again
            later, square = self.effects["later"][kind], self.effects["square"][kind]
            count = self.record.count(f"{tag}|n", known)
            row = self._row("persistence", target, form="finite")
            sums = [self.record.total(f"{tag}|{name}", x, known) for name, x in (("c", values * square), ("s", square))]
            self.record.quotient(row, sums[0], sums[1], count)
            self.record.median(row, values, known, count)
            agree = self._row("finite_same_sign", target, form="finite", statistic="mean")
            self.record.share(agree, values.sign() == later.sign(), known, count)

    def partnered(self, null: str, kind: int) -> None:
        """The rows of a null: the partner's most probable wrong class at this unit, and the unit's own beside it."""
        own, known = CLASSES.index("wrong"), self.known[kind] & self.known[CLASSES.index("wrong")]
        partner = torch.where(known.flatten(), self.aims.batch.partners[null], -1)
        tag = f"{self.tag}|{null}"
        count = self.record.count(f"{tag}|own", known)

        def over_dyads(of: int, name: str) -> str:
            table = self.record.of_partners(self.effects[name][of], partner)
            return self.record.dyads(f"{tag}|{of}|{name}", table)

        for measure in self._measures():
            above, below = RATIOS[measure]
            roles = {"above": over_dyads(kind, above), "below": over_dyads(kind, below)}
            roles |= {"own_above": over_dyads(own, above), "own_below": over_dyads(own, below)}
            self.record.add(self._row(measure, "wrong", null=null), PartnerRatio, {}, {}, n=count, **roles)
            if measure == "kept" and null == "pairing":
                self.record.add(self._row("selectivity", "wrong"), PartnerExcess, {}, {}, n=count, **roles)
