"""A lens: for every state of a network a translator to vectors that its readout reads."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as of_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from ..errors import ItinfError, nearest, shown
from ..files import header_of, read_sealed, sealed, write_bytes
from ..networks.measuring import evaluating
from ..networks.network import Network, require_network
from ..networks.readout import vectors
from ..networks.states import Site, readable
from ..networks.trace import SiteId, Trace
from ..networks.weights import readout_fingerprint
from .fit_statistics import FitStatistics
from .translator import Tempered, Translator, translated_logits

HEADER = "lens"
FORMAT = 2
"""Version of the file. Format 1, which calls sites places, is still read."""


@dataclass
class Lens:
    """Translators for the states of one network. The network itself is not part of it.

    Attributes:
        kind: how they were fitted, a name of ``itinf.lenses.kinds``.
        sites: of the states, in order of depth.
        translators: one for each site; None where there can be none (the logit lens at another width).
        log_prior: (classes,) float64 log-probabilities of the targets, never −∞.
        mean_final: (classes,) float64 log-probabilities, the mean of the network's final distributions.
        record: network, fingerprint of its readout, data, units, seed, versions.
        beta: its confidence at all depths, see ``itinf.lenses.confidence``; 1 for the translators as they were fitted.
        statistics: the sums it was fitted from; None for a lens read from a file.
    """

    kind: str
    sites: list[Site]
    translators: Sequence[Translator | None]
    log_prior: Tensor
    mean_final: Tensor
    record: dict[str, Any]
    statistics: FitStatistics | None = None
    beta: float = 1.0

    def __getitem__(self, name: str) -> Translator:
        """The translator of the state of that name.

        Raises:
            ItinfError: there is no such state, or no translator for it.
        """
        return self._known(name)[1]

    def read(self, trace: Trace, name: str, fitted_at: str | None = None) -> Tensor:
        """Logits (R, classes) of all units of a trace, read at the state of that name.

        The logits of all units exist at once, so give a trace of few units.

        Args:
            trace: of a batch.
            name: of the state to read.
            fitted_at: name of the state whose translator reads it; by default its own.

        Raises:
            ItinfError: there is no such state or translator, or it is of another width.
        """
        site, translator = self._known(name)
        if fitted_at is not None:
            translator = self[fitted_at]
        network = trace.network
        with torch.no_grad(), evaluating(network):
            rows = network.per_prediction(trace.state(site.id))
            return translated_logits(network, rows, self.confident(translator.on(network.device)))

    def confident(self, translator: Translator) -> Translator:
        """A translator at the confidence of this lens."""
        return translator if self.beta == 1.0 else Tempered(translator, self.beta, self.log_prior)

    def _known(self, name: str) -> tuple[Site, Translator]:
        pairs = list(zip(self.sites, self.translators, strict=True))
        known = {p.name: (p, t) for p, t in reversed(pairs) if t is not None}  # the first of one name
        if name not in known:
            raise ItinfError(f"The {self.kind} lens has no translator for {name!r}. {nearest(name, known)}")
        return known[name]

    def content(self) -> bytes:
        """The content of its ``.safetensors`` file; the statistics it was fitted from are left out."""
        tensors = {"prior": self.log_prior, "final": self.mean_final}
        for k, translator in enumerate(self.translators):
            if translator is not None:
                tensors |= {f"{k}/{key}": value for key, value in translator.state_dict().items()}
        header = {
            "format": FORMAT,
            "kind": self.kind,
            "sites": [asdict(site) for site in self.sites],
            "record": self.record,
            **({} if self.beta == 1.0 else {"beta": self.beta}),
        }
        copies = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
        return sealed(to_bytes, copies, HEADER, header)

    def save(self, path: str | Path) -> None:
        """Writes a ``.safetensors`` file in one step; the statistics it was fitted from are left out.

        Raises:
            ItinfError: a name that does not end in ``.safetensors``.
        """
        path = _lens_path(path)
        if path.suffix != ".safetensors":
            raise ItinfError(f"A lens is kept in a .safetensors file; given {str(path)!r}.")
        write_bytes(path, self.content())

    @classmethod
    def load(cls, path: str | Path, network: Network) -> Lens:
        """Reads a lens for a network.

        Args:
            path: a file that ``save`` wrote.
            network: the one it was fitted on, or another with the same states and the same readout.

        Raises:
            ItinfError: a file that is missing, cut short or no lens; a lens of
                another readout (names both fingerprints), or of states that the network does not have.
        """
        require_network(network)
        path = _lens_path(path)
        header, tensors = _read(path)
        try:
            if header["format"] not in (1, FORMAT):
                raise ItinfError(
                    f"{path} is of format {header['format']}; this itinf reads up to {FORMAT}. Fit the lens again."
                )
            lens = cls._of(header, tensors)
            kind, record, readout = lens.kind, lens.record, str(lens.record["readout"])
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            if isinstance(error, ItinfError):
                raise
            raise _unreadable(path, f"{type(error).__name__}: {error}") from error
        if not isinstance(kind, str) or not kind:
            raise _unreadable(path, f"its kind is {kind!r}, and a kind has a name")
        expected = readout_fingerprint(network)
        if readout != expected:
            raise ItinfError(
                f"{path} is a lens of {record.get('network')} ({record.get('weights')}), whose readout has fingerprint "
                f"{readout}; the readout of {network.name} ({network.weights}) has {expected}. "
                "A lens needs the readout it was fitted with: give that network, or fit a lens for this one."
            )
        _require_sites(path, lens, network)
        return lens

    @classmethod
    def of(cls, content: bytes) -> Lens:
        """The inverse of ``content``, for what another process of this job has sent."""
        return cls._of(header_of(content, HEADER), of_bytes(content))

    @classmethod
    def _of(cls, header: dict[str, Any], tensors: dict[str, Tensor]) -> Lens:
        sites = [_site(item) for item in header["places" if header["format"] == 1 else "sites"]]
        translators = [_translator(tensors, k, site, sites[-1]) for k, site in enumerate(sites)]
        beta = float(header.get("beta", 1.0))
        if not 0 <= beta < math.inf:
            raise ValueError(f"its β is {beta}")
        return cls(header["kind"], sites, translators, *_priors(tensors), dict(header["record"]), beta=beta)

    def __repr__(self) -> str:
        known = [site for site, t in zip(self.sites, self.translators, strict=True) if t is not None]
        size = sum(p.numel() for t in self.translators if t is not None for p in t.parameters())
        names = f"{known[0].name} … {known[-1].name}" if known else ""
        record, fitted = self.record, ""
        if "units" in record and "data" in record:
            fitted = f"; fitted on {record['units']:,} units of {record['data']}"
        states = (
            f"{len(known)} states, {names} (depth {known[0].depth:.2f} … {known[-1].depth:.2f})"
            if known
            else "no state"
        )
        return f"Lens ({self.kind}) of {record.get('network')}: {states}{fitted}; {size / 1e6:.2f} M parameters"


def require_lens(given: Any) -> None:
    """Refuses what is no lens.

    Raises:
        ItinfError: it is something else; says how to get a lens.
    """
    if not isinstance(given, Lens):
        advice = "Write itinf.fit(network, data), or itinf.Lens.load(file, network)."
        raise ItinfError(f"{shown(given)} is no lens; expected an itinf.Lens. {advice}")


def require_readout(network: Network, lens: Lens) -> None:
    """Refuses a lens that was fitted on another readout.

    Raises:
        ItinfError: it was; names both fingerprints.
    """
    if (fitted := lens.record.get("readout")) != (expected := readout_fingerprint(network)):
        raise ItinfError(
            f"This lens was fitted on another readout (fingerprint {fitted}) than that of {network.name} ({expected}). "
            "Fit one on this network."
        )


def translators_at(trace: Trace, lens: Lens | None = None) -> dict[SiteId, Translator | None]:
    """The states that can be read, each with the translator to read it through.

    Args:
        trace: any trace of the network.
        lens: None for the network's own readout, which has no translators.

    Raises:
        ItinfError: a lens of a network with other states.
    """
    network = trace.network
    if lens is None:
        return {site: None for site, fits in enumerate(readable(trace)) if fits}
    translators: dict[SiteId, Translator | None] = {}
    for site, translator in zip(lens.sites, lens.translators, strict=True):
        if not _has_site(trace, site.id):
            raise ItinfError(
                f"{_does_not_fit(network, lens)} there is no state {site.name!r}. Fit a lens on this network."
            )
        width = vectors(network, trace.state(site.id)[:1]).shape[-1]
        if width != site.width:
            what = f"the state {site.name!r} is {width} wide, not {site.width}"
            raise ItinfError(f"{_does_not_fit(network, lens)} {what}. Fit a lens on this network.")
        if translator is not None:
            translators[site.id] = lens.confident(translator.on(network.device))
    return translators


def _has_site(trace: Trace, site: SiteId) -> bool:
    if isinstance(site, int):
        return 0 <= site < len(trace.states)
    block, part = site
    return 0 <= block < len(trace.parts) and part in trace.parts[block]


def _does_not_fit(network: Network, lens: Lens) -> str:
    return f"The {lens.kind} lens of {lens.record.get('network', 'another network')} does not fit {network.name}:"


def _lens_path(given: Any) -> Path:
    if not isinstance(given, str | os.PathLike):
        raise ItinfError(f"The lens file is {shown(given)}; expected a path. Give the path of a .safetensors file.")
    return Path(given)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        siblings = [p.name for p in path.parent.glob("*.safetensors")] if path.parent.is_dir() else []
        raise ItinfError(f"There is no lens file {str(path)!r}. {nearest(path.name, siblings)}")
    try:
        return read_sealed(path, HEADER, "pt")
    except ValueError as error:
        raise _unreadable(path, str(error)) from error


def _unreadable(path: Path, why: str) -> ItinfError:
    return ItinfError(f"{path} cannot be read as a lens ({why}). Is the file complete? Lens.save writes one.")


def _site(item: dict[str, Any]) -> Site:
    written = item["id"] if "id" in item else item["where"]  # format 1 calls it "where"
    site = written if isinstance(written, int) else (int(written[0]), str(written[1]))
    made = Site(str(item["name"]), site, int(item["width"]), int(item["segment"]), float(item["depth"]))
    if made.width < 1 or not 0 <= made.depth <= 1:
        raise ValueError(f"the state {made.name!r} has width {made.width} and depth {made.depth}")
    return made


def _translator(tensors: dict[str, Tensor], k: int, site: Site, last: Site) -> Translator | None:
    if f"{k}/weight" not in tensors:
        return None
    weight, bias = tensors[f"{k}/weight"], tensors[f"{k}/bias"]
    if weight.shape != (last.width, site.width) or bias.shape != (last.width,):
        raise ValueError(f"the translator of {site.name!r} is {tuple(weight.shape)}, not {(last.width, site.width)}")
    for value in (weight, bias):
        if not value.is_floating_point() or not bool(torch.isfinite(value).all()):
            raise ValueError(f"the translator of {site.name!r} is {value.dtype}, or not finite")
    return Translator(weight, bias)


def _priors(tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    prior, final = tensors["prior"], tensors["final"]
    if prior.dtype != torch.float64 or prior.ndim != 1 or prior.shape != final.shape:
        raise ValueError(f"the prior is {tuple(prior.shape)} {prior.dtype}")
    if not bool(torch.isfinite(prior).all()) or final.dtype != prior.dtype or bool(final.isnan().any()):
        raise ValueError("the prior or the mean final distribution holds no numbers")
    return prior, final


def _require_sites(path: Path, lens: Lens, network: Network) -> None:
    outputs = network.head.out_features if isinstance(network.head, nn.Linear) else len(lens.log_prior)
    if len(lens.log_prior) != outputs:
        raise ItinfError(
            f"{path} is a lens for {len(lens.log_prior):,} outputs, and {network.name} has {outputs:,}. "
            "Fit a lens for this network."
        )
    known = {name for b in network.blocks for name in (b.name, f"before {b.name}", *(f"{b.name}.{p}" for p in b.parts))}
    for site in lens.sites:
        if site.name not in known:
            raise ItinfError(
                f"{path} reads the state {site.name!r}, which {network.name} does not have. {nearest(site.name, known)}"
            )
    after = {(site.name, site.depth) for site in lens.sites}
    for number, block in enumerate(network.blocks):
        if (block.name, (number + 1) / len(network.blocks)) not in after:
            raise ItinfError(
                f"{path} was fitted with other blocks than the {len(network.blocks)} that {network.name} is opened at; "
                f"block {block.name!r} stands elsewhere in it or nowhere. Open the same blocks, or fit a lens for these."
            )
