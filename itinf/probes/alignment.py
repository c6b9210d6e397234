"""The alignment probe: does the update of each block point down the loss? Cosines and gauge-free numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..networks.trace import Target
from ..results.dyads import stacked
from ..results.estimators import GaugeFree, GaugeFreePairs, PairMean, PairShare, PartnerMean, PartnerShare
from ..results.reasons import Reason
from ..results.recorder import Recorder
from ..results.row import Row
from .batch import Combination
from .block import BlockProducts
from .dot_products import between_clusters, both_known
from .forms import Form
from .gradients import GradientName
from .probe import NullChoice, Probe, require_names

FORMS = ("raw", "centred", "gauge-fixed", "gauge-free")


@dataclass(frozen=True, repr=False)
class Alignment(Probe):
    """cos(update, −gradient) of every block: positive if the block moves down the loss.

    The gradient is that of each unit's normalised loss, so a saturated softmax does not lose units. The cosine
    of a zero vector is undefined; such units are counted as missing. The plain mean is dominated by units whose
    loss is already nearly zero; therefore the table also has the median and the mean weighted by the residual.
    For tokens it also has the cosine of whole sequences (``flattened``).

    The ``gauge-free`` form uses only dot products, of the normalised losses. It has two numbers: the share of units
    with ⟨D, −g⟩ > 0, with both nulls; and the mean of m·⟨D_i, −g_i⟩ / (a_i b_i). Here a_i² is the mean square of
    ⟨D_k, g_i⟩ and b_i² the mean square of ⟨D_i, g_k⟩ over the other clusters k of the group; m² is the mean square
    over all pairs. A change of basis of the state changes neither number.

    Attributes:
        gradients: any of "input", "output", "readout"; see ``itinf.probes.gradients.gradient``.
        targets: any of "label", "answer" (the network's top-1), "model" (the network's final distribution).
        forms: any of "raw", "centred", "gauge-fixed", "gauge-free".
        nulls: "pairing" (another cluster's gradient at the same position, all pairs of a group), "same-target"
            (the mean over all units of the group with the same target, in other clusters; it asks whether a step is the
            unit's own or its class's, and judges nothing: the controls do not pass it reliably), or a
            null of your own that has partners.
        lens: a lens; the ``readout`` gradient is taken through it at every state that it reads, in the layout and
            width of that state. None for the network's own readout.
        name: name of the lens in the table; by default its kind.

    Source: Jastrzębski et al. 2018 (``input``, opposite sign); Belrose et al. 2023, appendix C
    (``readout``, opposite sign, flattened).
    """

    gradients: Sequence[GradientName] = ("input", "output", "readout")
    targets: Sequence[Target] = ("label",)
    forms: Sequence[str] = FORMS
    nulls: Sequence[NullChoice] = ("pairing", "same-target")

    measure = "alignment"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_names(type(self).__name__, "forms", self.forms, FORMS)

    def measure_block(self, block: BlockProducts, record: Recorder) -> None:
        present, absent = self.requested(block)
        for combination, reason in absent.items():
            self._absent(block, record, combination, reason)
        for combination in present:
            for name in self.forms:
                if name == "gauge-free":
                    _GaugeFreeForm(block, record, combination).measure(self.null_names, self._own_nulls)
                    continue
                form = block.form(name, combination)
                if isinstance(form, Reason):
                    record.absent(block.row("alignment", combination, form=name), form)
                else:
                    _Cosine(block, record, combination, form).measure(self.null_names, self._own_nulls)

    @property
    def _own_nulls(self) -> list[str]:
        """Nulls of the user's own, in which every unit has one partner; the nulls of itinf use all pairs."""
        return [name for name in self.partner_nulls if name not in ("pairing", "same-target")]

    def _absent(self, block: BlockProducts, record: Recorder, combination: Combination, reason: Reason) -> None:
        for name in self.forms:
            statistic = "ratio" if name == "gauge-free" else "mean"
            record.absent(block.row("alignment", combination, form=name, statistic=statistic), reason)
            if name == "gauge-free":
                record.absent(block.row("descent_share", combination, form=name), reason)


class _Measurement:
    """A combination in one form, with the values that its rows share."""

    def __init__(self, block: BlockProducts, record: Recorder, combination: Combination, form: str) -> None:
        self.block, self.record, self.combination, self.form = block, record, combination, form
        self.known, self.groups = block.batch.trace.known, block.batch.groups
        c = combination
        tag = f"{c.update}{c.part}|{c.gradient}|{c.target}|{form}|{block.number + 1}"
        self.tag = f"{c.lens}|{tag}" if c.lens else tag  # part of the names of shared columns

    def row(self, measure: str, **columns: str) -> Row:
        return self.block.row(measure, self.combination, form=self.form, **columns)

    def partner(self, null: str, fits: Tensor) -> tuple[Tensor, Tensor]:
        """(N·P,): the partner of every unit; and the same, with −1 unless both units are usable."""
        partner = self.block.batch.partners[null]
        usable = fits.flatten() & (partner >= 0) & fits.flatten()[partner]
        return partner, torch.where(usable, partner, -1)

    def partner_count(self, null: str) -> str:
        """The name of the column that counts units with a partner."""
        return f"partners|{null}|{self.tag}"

    def same_target(
        self,
        measure: str,
        fits: Tensor,
        observed: Tensor,
        values: Callable[[int, Tensor], Tensor],
        kind: type[PartnerMean] = PartnerMean,
    ) -> None:
        """The row of the same-target null: the mean over all partners of each unit.

        Args:
            measure: name of the measure.
            fits: (N, P) bool, the units that can be paired.
            observed: (N, P) values of the units themselves.
            values: takes the number of a group and row numbers (C, m), and gives the values of all pairs (C, m, m).
            kind: ``PartnerShare`` for shares.
        """
        pairs = self.block.batch.same_target
        known, weights = pairs.weights(fits)
        row, count = self.row(measure, null="same-target"), self.partner_count("same-target")
        self.record.partner_means(row, pairs.tables(weights, values, observed), known, count, kind)


class _Cosine(_Measurement):
    """Cosines of one combination in one form."""

    def __init__(self, block: BlockProducts, record: Recorder, combination: Combination, form: Form) -> None:
        super().__init__(block, record, combination, form.name)
        self.products = form
        self.update, self.gradient = form.update2.sqrt(), form.gradient2.sqrt()  # (N, P)
        self.fits = self.known & (self.update > 0) & (self.gradient > 0)
        self.inverse_update, self.inverse_gradient = _inverse(self.update), _inverse(self.gradient)

    def measure(self, nulls: Sequence[str], own_nulls: Sequence[str]) -> None:
        pairs = _Pairs()
        sequences = _Sequences(self) if self.block.batch.network.unit == "token" else None
        cosines = []
        for group, members in enumerate(self.groups):
            dots = self.products.pairs(self.block.raw(self.combination, group), group, members)  # (P, n, n)
            norms = self.inverse_update[members].T.unsqueeze(2), self.inverse_gradient[members].T.unsqueeze(1)
            angle = -dots * norms[0] * norms[1]
            cosines.append(angle.diagonal(dim1=1, dim2=2).T)
            if "pairing" in nulls:
                pairs.add(angle, both_known(self.fits[members]))
            if sequences is not None:
                sequences.add(dots, members)
        cosine = torch.cat(cosines)
        self._units(cosine)
        if "pairing" in nulls:
            pairs.enter(self.record, self.row("alignment", null="pairing"), f"pairs|{self.tag}")
        if "same-target" in nulls:
            self.same_target("alignment", self.fits, cosine, self._same_target)
        for null in own_nulls:
            self._partners(null, cosine)
        if sequences is not None:
            sequences.enter("pairing" in nulls)
        if self.form == "raw":
            for subset, chosen in self.block.correct_before(self.combination.part, self.combination.lens).items():
                row = self.row("alignment", subset=subset)
                self.record.mean(row, cosine, self.fits & chosen, f"n|{self.tag}|{subset}")

    def _units(self, cosine: Tensor) -> None:
        scale = self.block.gradients[self.combination].scale
        self.record.mean(self.row("alignment"), cosine, self.fits, f"n|{self.tag}", median=True)
        weighted = self.row("alignment", statistic="weighted")
        self.record.ratio(weighted, cosine * scale, scale, self.fits, f"n|{self.tag}")

    def _same_target(self, group: int, rows: Tensor) -> Tensor:
        """Cosines (C, m, m) of every update with every gradient of some cliques."""
        dots = self.products.cliques(self.block.clique_products(self.combination, group, rows), rows)
        norms = self.inverse_update.flatten()[rows].unsqueeze(2), self.inverse_gradient.flatten()[rows].unsqueeze(1)
        return -dots * norms[0] * norms[1]

    def _partners(self, null: str, cosine: Tensor) -> None:
        partner, chosen = self.partner(null, self.fits)
        raw = self.block.partner_products(self.combination, partner)
        dots = self.products.rows(raw, partner, self.groups)
        angle = -dots * self.inverse_update.flatten() * self.inverse_gradient.flatten()[partner]
        row = self.row("alignment", null=null)
        self.record.partners(row, angle.reshape(cosine.shape), cosine, chosen, self.partner_count(null))


class _Sequences:
    """Cosines of whole sequences: the vectors of all tokens of a sequence are joined into one vector."""

    def __init__(self, cosine: _Cosine) -> None:
        self.cosine = cosine
        scale = cosine.block.gradients[cosine.combination].scale
        self.weight = scale if cosine.combination.gradient == "readout" else torch.ones_like(scale)
        self.update = (cosine.update.square() * cosine.known).sum(1).sqrt()
        self.gradient = ((cosine.gradient * self.weight).square() * cosine.known).sum(1).sqrt()
        self.cosines: list[Tensor] = []
        self.pairs: list[Tensor] = []

    def add(self, dots: Tensor, members: slice) -> None:
        """Adds the dot products (P, n, n) of a group."""
        known = self.cosine.known[members].T  # (P, n)
        joint = -(dots * (self.weight[members].T * known).unsqueeze(1) * known.unsqueeze(2)).sum(0)
        norms = _inverse(self.update[members]).unsqueeze(1), _inverse(self.gradient[members]).unsqueeze(0)
        joint = joint * norms[0] * norms[1]
        self.cosines.append(joint.diagonal())
        self.pairs.append(joint)

    def enter(self, pairing: bool) -> None:
        record, tag, fits = self.cosine.record, f"flat|{self.cosine.tag}", self.update * self.gradient > 0
        row = self.cosine.row("alignment", statistic="flattened", unit="sequence")
        record.mean(row, torch.cat(self.cosines).unsqueeze(1), fits.unsqueeze(1), f"n|{tag}")
        if pairing:
            number = [both_known(fits[m].unsqueeze(1))[0].double() for m in self.cosine.groups]
            record.pairs(replace(row, null="pairing"), stacked(self.pairs), stacked(number), f"pairs|{tag}")


class _GaugeFreeForm(_Measurement):
    """The gauge-free numbers of one combination, from dot products alone."""

    def __init__(self, block: BlockProducts, record: Recorder, combination: Combination) -> None:
        super().__init__(block, record, combination, "gauge-free")
        self.ratio, self.squares, self.share = _Pairs(), _Pairs(), _Pairs()
        each = [self._group(group) for group in range(len(self.groups))]
        self.descends, self.scaled, self.usable = map(torch.cat, zip(*each, strict=True))

    def _group(self, group: int) -> tuple[Tensor, Tensor, Tensor]:
        """Three (n, P) of a group: whether the update descends, its scaled product, whether that is defined.

        All pairs of the group are added to ``share``, ``ratio`` and ``squares``.
        """
        known = self.known[self.groups[group]]
        dots = -self.block.raw(self.combination, group)  # (P, n, n)
        both = both_known(known)
        others = both & ~torch.eye(dots.shape[1], dtype=torch.bool, device=dots.device)
        square = torch.where(others, dots.square(), 0.0)
        a2 = square.sum(1) / others.sum(1)  # (P, n): over updates k, at gradient i
        b2 = square.sum(2) / others.sum(2)  # (P, n): over gradients k, at update i
        fits = (a2 > 0) & (b2 > 0) & known.T
        size = torch.where(b2 > 0, b2, 1.0).sqrt().unsqueeze(2) * torch.where(a2 > 0, a2, 1.0).sqrt().unsqueeze(1)
        ratio = dots / size
        self.squares.add(square, others)
        self.share.add((dots > 0).double(), others)
        self.ratio.add(ratio, others & fits.unsqueeze(2) & fits.unsqueeze(1))
        descends = (dots.diagonal(dim1=1, dim2=2) > 0).double()
        return descends.T, ratio.diagonal(dim1=1, dim2=2).T, fits.T

    def measure(self, nulls: Sequence[str], own_nulls: Sequence[str]) -> None:
        self.record.share(self.row("descent_share"), self.descends, self.known, "n|known")
        if "pairing" in nulls:
            self.share.enter(self.record, self.row("descent_share", null="pairing"), "pairs|known", PairShare)
        if "same-target" in nulls:
            self.same_target("descent_share", self.known, self.descends, self._same_target, PartnerShare)
        for null in own_nulls:
            partner, chosen = self.partner(null, self.known)
            theirs = (self.block.partner_products(self.combination, partner) < 0).double().reshape(self.descends.shape)
            row = self.row("descent_share", null=null)
            self.record.partners(row, theirs, self.descends, chosen, self.partner_count(null), PartnerShare)
        self._ratio("pairing" in nulls)

    def _same_target(self, group: int, rows: Tensor) -> Tensor:
        """Whether every update descends on the loss of every unit of some cliques, (C, m, m)."""
        return (self.block.clique_products(self.combination, group, rows) < 0).double()

    def _ratio(self, pairing: bool) -> None:
        record = self.record
        squares = record.dyads(f"squares|{self.tag}", self.squares.dyads)
        pairs = record.dyads("pairs|known", self.squares.counts)
        row = self.row("alignment", statistic="ratio")
        total = torch.where(self.usable, self.scaled, 0.0).sum(1)
        record.add(
            row, GaugeFree, {"sum": total}, n=record.count(f"n|{self.tag}", self.usable), squares=squares, pairs=pairs
        )
        if pairing:
            number = record.dyads(f"scaled pairs|{self.tag}", self.ratio.counts)
            ratio = {"sum": self.ratio.dyads}
            record.add(replace(row, null="pairing"), GaugeFreePairs, {}, ratio, n=number, squares=squares, pairs=pairs)


@dataclass
class _Pairs:
    """For every two clusters of a group, the sum over all pairs of their units, and the number of these pairs."""

    sums: list[Tensor] = field(default_factory=list)
    numbers: list[Tensor] = field(default_factory=list)

    def add(self, values: Tensor, allowed: Tensor) -> None:
        """Adds the values (P, n, n) of a group; ``allowed`` says which pairs count."""
        self.sums.append(between_clusters(values, allowed))
        self.numbers.append(between_clusters(allowed.double(), allowed))

    @property
    def dyads(self) -> Tensor:
        """(groups, n, n)."""
        return stacked(self.sums)

    @property
    def counts(self) -> Tensor:
        return stacked(self.numbers)

    def enter(self, record: Recorder, row: Row, count: str, kind: type[PairMean] = PairMean) -> None:
        record.pairs(row, self.dyads, self.counts, count, kind)


def _inverse(norm: Tensor) -> Tensor:
    return torch.where(norm > 0, 1 / norm, 0.0)
