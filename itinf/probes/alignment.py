"""Does each block's update point down the loss? Cosines, and the gauge-free numbers beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..networks.trace import Target
from ..results.recorder import Recorder
from ..results.row import Row
from .batch import Combination, ProbeBatch, lens_name
from .block import BlockProducts, requested
from .dot_products import both_known, off_diagonal
from .gradients import GradientName
from .probe import ThroughLens

FORMS = ("raw", "centred", "gauge-fixed", "gauge-free")


@dataclass(frozen=True, repr=False)
class Alignment(ThroughLens):
    """cos(update, −gradient) of every block: positive where the block moves down the loss.

    Cosines come from the gradient of each unit's normalised loss, so none is lost to a saturated
    softmax; those of zero vectors are undefined and counted. Beside the plain mean stand the
    median and the residual-weighted mean, for the plain mean is owned by units whose loss is
    already nearly zero. On tokens a sequence-level cosine (``flattened``) stands beside.

    The ``gauge-free`` form is built from dot products alone, of the normalised losses: the share of
    units with ⟨D, −g⟩ > 0, with both nulls, and the mean of m·⟨D_i, −g_i⟩ / (a_i b_i), where a_i² and b_i² are the mean
    squares of ⟨D_k, g_i⟩ and ⟨D_i, g_k⟩ over the other clusters k of the group and m² that over all
    pairs. No change of basis of the state changes either.

    Attributes:
        gradients: of "input", "output", "readout"; see ``itinf.probes.gradients.gradient``.
        targets: of "label", "answer" (the network's own top-1), "model" (its final distribution).
        forms: of "raw", "centred", "gauge-fixed", "gauge-free".
        nulls: "pairing" (another cluster's gradient at the same position, all pairs of a group)
            and "same-target" (another unit's with the same target).
        lens: what ``readout`` goes through, at every state that it reads and in that state's own
            layout and width; None for the network's own readout.
        name: of the lens in the table; by default its kind.

    Source: Jastrzębski et al. 2018 (``input``, opposite sign); Belrose et al. 2023, appendix C
    (``readout``, opposite sign, flattened).
    """

    gradients: Sequence[GradientName] = ("input", "output", "readout")
    targets: Sequence[Target] = ("label",)
    forms: Sequence[str] = FORMS
    nulls: Sequence[str] = ("pairing", "same-target")

    @property
    def readouts(self) -> bool:
        return "readout" in self.gradients

    def measure_batch(self, view: ProbeBatch, record: Recorder) -> None:
        return None

    def measure_block(self, view: BlockProducts, record: Recorder) -> None:
        present, absent = requested(view, self.gradients, self.targets, lens_name(self))
        for combination, reason in absent.items():
            self._absent(view, record, combination, reason)
        for combination in present:
            for name in self.forms:
                if name == "gauge-free":
                    _gauge_free(view, record, combination, self.nulls)
                else:
                    self._cosine(view, record, combination, name)

    def _absent(self, view: BlockProducts, record: Recorder, combination: Combination, reason: str) -> None:
        for name in self.forms:
            statistic = "ratio" if name == "gauge-free" else "mean"
            record.absent(_row("alignment", view, combination, name, statistic), reason)
            if name == "gauge-free":
                record.absent(_row("descent_share", view, combination, name), reason)

    def _cosine(self, view: BlockProducts, record: Recorder, combination: Combination, name: str) -> None:
        row = _row("alignment", view, combination, name)
        form = view.form(name, combination)
        if isinstance(form, str):
            record.absent(row, form)
            return
        known = view.batch.trace.known
        scale = view.gradients[combination].scale
        d, g = form.update2.sqrt(), form.gradient2.sqrt()  # (N, P)
        fits = known & (d > 0) & (g > 0)
        inverse_d, inverse_g = _inverse(d), _inverse(g)
        cosine, sums, numbers, flat, flat_sums = [], [], [], [], []
        tokens = view.batch.network.unit == "token"
        weight = scale if combination.gradient == "readout" else torch.ones_like(scale)
        whole_d = (d.square() * known).sum(1).sqrt()
        whole_g = ((g * weight).square() * known).sum(1).sqrt()
        for group, members in enumerate(view.batch.groups):
            dots = form.pairs(view.raw(combination, group), group, members)  # (P, n, n)
            angle = -dots * inverse_d[members].T.unsqueeze(2) * inverse_g[members].T.unsqueeze(1)
            cosine.append(angle.diagonal(dim1=1, dim2=2).T)
            if "pairing" in self.nulls:
                both = both_known(fits[members])
                sums.append(off_diagonal(angle, both))
                numbers.append(off_diagonal(both.double(), both))
            if tokens:
                here = known[members].T  # (P, n)
                joint = -(dots * (weight[members].T * here).unsqueeze(1) * here.unsqueeze(2)).sum(0)
                joint = joint * _inverse(whole_d[members]).unsqueeze(1) * _inverse(whole_g[members]).unsqueeze(0)
                flat.append(joint.diagonal())
                flat_sums.append(joint.sum(0) + joint.sum(1) - 2 * joint.diagonal())
        own = torch.cat(cosine)
        tag = _tag(view, combination, name)
        record.mean(row, own, fits, f"n|{tag}", median=True)
        weighted = _row("alignment", view, combination, name, statistic="weighted")
        record.ratio(weighted, own * scale, scale, fits, f"n|{tag}")
        if "pairing" in self.nulls:
            null = _row("alignment", view, combination, name, null="pairing")
            record.pairs(null, torch.cat(sums), torch.cat(numbers), f"pairs|{tag}")
        if "same-target" in self.nulls:
            partner = view.batch.partners["same-target"]
            dots = form.rows(view.partner_products(combination, partner), partner, view.batch.groups)
            angle = -dots * inverse_d.flatten() * inverse_g.flatten()[partner]
            usable = fits.flatten() & (partner >= 0) & fits.flatten()[partner]
            null = _row("alignment", view, combination, name, null="same-target")
            chosen = torch.where(usable, partner, -1)
            record.partners(null, angle.reshape(own.shape), own, chosen, f"partners|{tag}")
        if tokens:
            self._flattened(
                view, record, combination, name, torch.cat(flat), torch.cat(flat_sums), whole_d * whole_g > 0
            )
        if name == "raw":
            self._subsets(view, record, combination, own, fits, tag)

    def _flattened(
        self, view: BlockProducts, record: Recorder, c: Combination, name: str, own: Tensor, pairs: Tensor, fits: Tensor
    ) -> None:
        tag = f"flat|{_tag(view, c, name)}"
        row = _row("alignment", view, c, name, statistic="flattened", unit="sequence")
        record.mean(row, own.unsqueeze(1), fits.unsqueeze(1), f"n|{tag}")
        if "pairing" in self.nulls:
            null = _row("alignment", view, c, name, statistic="flattened", unit="sequence", null="pairing")
            number = torch.cat([2 * fits[m] * (fits[m].sum() - 1.0) for m in view.batch.groups])
            record.pairs(null, pairs, number.to(pairs), f"pairs|{tag}")

    def _subsets(
        self, view: BlockProducts, record: Recorder, c: Combination, own: Tensor, fits: Tensor, tag: str
    ) -> None:
        for subset, chosen in view.correct_before(c.part, c.lens).items():
            row = _row("alignment", view, c, "raw", subset=subset)
            record.mean(row, own, fits & chosen, f"n|{tag}|{subset}")


def _gauge_free(view: BlockProducts, record: Recorder, c: Combination, nulls: Sequence[str]) -> None:
    known = view.batch.trace.known
    share, scaled, usable, squares_, numbers = [], [], [], [], []
    share_pairs, scaled_pairs, scaled_numbers = [], [], []
    for group, members in enumerate(view.batch.groups):
        dots = -view.raw(c, group)  # (P, n, n)
        both = both_known(known[members])
        others = both & ~torch.eye(dots.shape[1], dtype=torch.bool, device=dots.device)
        square = torch.where(others, dots.square(), 0.0)
        a2 = square.sum(1) / others.sum(1)  # (P, n): over updates k, at gradient i
        b2 = square.sum(2) / others.sum(2)  # (P, n): over gradients k, at update i
        fits = (a2 > 0) & (b2 > 0) & known[members].T
        size = torch.where(b2 > 0, b2, 1.0).sqrt().unsqueeze(2) * torch.where(a2 > 0, a2, 1.0).sqrt().unsqueeze(1)
        ratio = dots / size
        share.append((dots.diagonal(dim1=1, dim2=2) > 0).double().T)
        scaled.append(ratio.diagonal(dim1=1, dim2=2).T)
        usable.append(fits.T)
        squares_.append(off_diagonal(square, others))
        numbers.append(off_diagonal(others.double(), others))
        allowed = others & fits.unsqueeze(2) & fits.unsqueeze(1)
        share_pairs.append(off_diagonal((dots > 0).double(), others))
        scaled_pairs.append(off_diagonal(ratio, allowed))
        scaled_numbers.append(off_diagonal(allowed.double(), allowed))
    tag = _tag(view, c, "gauge-free")
    descends = torch.cat(share)
    record.mean(_row("descent_share", view, c, "gauge-free"), descends, known, "n|known")
    if "same-target" in nulls:
        partner = view.batch.partners["same-target"]
        chosen = torch.where(known.flatten() & (partner >= 0) & known.flatten()[partner], partner, -1)
        theirs = (view.partner_products(c, partner) < 0).double().reshape(descends.shape)
        null = _row("descent_share", view, c, "gauge-free", null="same-target")
        record.partners(null, theirs, descends, chosen, f"partners|{tag}")
    row = _row("alignment", view, c, "gauge-free", statistic="ratio")
    fits = torch.cat(usable)
    record.columns.setdefault("pairs|known", torch.cat(numbers))
    squares_name, scaled_count = f"squares|{tag}", f"scaled pairs|{tag}"
    record.columns[squares_name] = torch.cat(squares_)
    shared = {"squares": squares_name, "pairs": "pairs|known"}
    total = torch.where(fits, torch.cat(scaled), 0.0).sum(1)
    record.add(row, "gauge-free", {"sum": total}, {**shared, "n": record.count(f"n|{tag}", fits)})
    if "pairing" in nulls:
        record.pairs(
            _row("descent_share", view, c, "gauge-free", null="pairing"),
            torch.cat(share_pairs),
            torch.cat(numbers),
            "pairs|known",
        )
        record.columns[scaled_count] = torch.cat(scaled_numbers)
        null = _row("alignment", view, c, "gauge-free", statistic="ratio", null="pairing")
        record.add(null, "gauge-free pairs", {"sum": torch.cat(scaled_pairs)}, {**shared, "n": scaled_count})


def _row(
    measure: str,
    view: BlockProducts,
    c: Combination,
    form: str,
    statistic: str = "mean",
    subset: str = "all",
    null: str = "observed",
    unit: str = "",
) -> Row:
    return Row(
        measure,
        view.block + 1,
        unit or view.batch.network.unit,
        statistic,
        c.gradient,
        c.update,
        c.part,
        form,
        c.target,
        subset,
        null,
        c.lens,
    )


def _tag(view: BlockProducts, c: Combination, form: str) -> str:
    """Of columns that the rows of one combination and form share."""
    tag = f"{c.update}{c.part}|{c.gradient}|{c.target}|{form}|{view.block + 1}"
    return f"{c.lens}|{tag}" if c.lens else tag


def _inverse(norm: Tensor) -> Tensor:
    return torch.where(norm > 0, 1 / norm, 0.0)
