"""A comparison as a small TOML file: which networks, on what, how much; saved with every result."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..errors import ItinfError, nearest
from ..files import toml_entry
from ..registry import specimen


@dataclass
class StudyNetwork:
    """One network of a comparison.

    Attributes:
        name: registered name; ``label``: what tables call it, the name by default.
        weights: as for ``itinf.network``; ``data``: ``NAME[:ARGUMENT]``.
        units, fit_units, batch: of this network alone; None for the study's.
        fit_data: what its lenses are fitted on; by default the training split of ``data``, or what of it is not measured.
        options: passed to the network's function; ``length``: tokens per sequence.
    """

    name: str
    data: str
    label: str = ""
    weights: str = "random"
    units: int | None = None
    fit_units: int | None = None
    batch: int | None = None
    length: int | None = None
    fit_data: str = ""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Study:
    """A comparison.

    Attributes:
        networks: the entrants.
        units: images or tokens per network; ``batch``: clusters per forward pass.
        seed, group, replicates, untrained: see ``itinf.studies.probe.Settings``.
        targets: what losses are taken against.
        lens: each depth's own, affine or tuned; none leaves lenses and their transfer out; auto is affine wherever
            there are enough data to fit it.
        fit_units: what lenses are fitted on, images or tokens; ``precision``: half-width of the interval of a
            retention, at which transfer stops.
    """

    networks: list[StudyNetwork]
    units: int = 2000
    batch: int = 64
    seed: int = 0
    group: int = 32
    replicates: int = 400
    untrained: int = 0
    targets: list[str] = field(default_factory=lambda: ["label"])
    lens: str = "auto"
    fit_units: int | None = None
    precision: float = 0.05

    def changed(self, **values: Any) -> Study:
        """Another study with some fields replaced, in those networks, too, that had their own."""
        networks = [replace(e) for e in self.networks]
        for name in ("units", "fit_units", "batch"):
            for entrant in networks if name in values else ():
                setattr(entrant, name, None)
        return replace(self, networks=networks, **values)


def read_study(path: Path) -> Study:
    """Reads a study.

    Raises:
        ItinfError: missing, not TOML, an unknown or missing key, or a value of the wrong type.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ItinfError(f"There is no study file {str(path)!r}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ItinfError(f"{path} is not TOML: {error}.") from error
    entrants = given.pop("network", [])
    if not isinstance(entrants, list) or not entrants:
        raise ItinfError(f"{path} names no network; expected at least one [[network]] table with name and data.")
    networks = [_make(StudyNetwork, e, f"{path}, network {n}") for n, e in enumerate(entrants, 1)]
    return _make(Study, {**given, "networks": networks}, str(path))


def study_toml(study: Study) -> str:
    """The study as TOML, such that ``read`` gives it back."""
    own = {f.name: getattr(study, f.name) for f in fields(Study) if f.name != "networks"}
    lines = [toml_entry(name, value) for name, value in own.items() if value is not None]
    for entrant in study.networks:
        lines += ["", "[[network]]"]
        for f in fields(StudyNetwork):
            value = getattr(entrant, f.name)
            if value not in (None, "", {}):
                lines.append(toml_entry(f.name, value))
    return "\n".join(lines) + "\n"


def _make(kind: type, given: dict[str, Any], where: str) -> Any:
    known = {f.name: f for f in fields(kind)}
    for key, value in given.items():
        if key not in known:
            raise ItinfError(f"{where}: unknown key {key!r}. {nearest(key, known)}")
        wanted = str(known[key].type)
        kinds: dict[str, Any] = {"int": int, "float": (int, float), "str": str, "dict": dict, "list": list}
        expected = next(t for name, t in kinds.items() if wanted.startswith(name))
        if not isinstance(value, expected) or isinstance(value, bool):
            raise ItinfError(f"{where}: {key} is {value!r}; expected {wanted}.")
    required = [name for name in ("name", "data") if kind is StudyNetwork and name not in given]
    if required:
        raise ItinfError(f"{where}: {required[0]!r} is missing.")
    return kind(**given)


SPECIMENS = ("resnet", "resnet-isotropic", "plain-isotropic", "inception", "gpt2")


UNTRAINED = 3


def specimens_study() -> Study:
    """Three residual networks, two without skips; images and language."""
    chosen = [specimen(name) for name in SPECIMENS]
    return Study([StudyNetwork(s.name, s.data, weights="specimen", units=s.units) for s in chosen], untrained=UNTRAINED)
