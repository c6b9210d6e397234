"""A study of several networks, and its TOML file: which networks, on what, how much. Saved with every result."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import tomli_w

from ..errors import ItinfError, nearest
from ..settings import DEFAULTS, MEASURED_UNITS, Settings

OF_ONE_NETWORK = ("units", "fit_units", "batch")
"""Settings that a network may have of its own."""
NOT_IN_FILES = ("shard", "device")
"""Settings that say how one run is made, not what is studied."""


@dataclass
class StudyNetwork:
    """One network of a study, a [[network]] table of the file.

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

    @property
    def title(self) -> str:
        """What tables call it."""
        return self.label or self.name


@dataclass
class Study:
    """Several networks, measured in the same way.

    Attributes:
        networks: which, and on what data.
        settings: of all networks; in the file each stands beside ``targets`` and ``lens``.
        targets: what losses are taken against.
        lens: each state's own, affine or tuned; none leaves lenses and their transfer out; auto is affine wherever
            there are enough data to fit it.
    """

    networks: list[StudyNetwork]
    settings: Settings = field(default_factory=lambda: replace(DEFAULTS, units=MEASURED_UNITS))
    targets: list[str] = field(default_factory=lambda: ["label"])
    lens: str = "auto"

    def changed(self, **values: Any) -> Study:
        """Another study with settings, ``targets`` or ``lens`` replaced, also in networks that had their own.

        Raises:
            ItinfError: there is no setting of that name, or no study can have that value.
        """
        own: dict[str, Any] = {name: None for name in OF_ONE_NETWORK if name in values}
        others = {name: values.pop(name) for name in ("targets", "lens") if name in values}
        networks = [replace(network, **own) for network in self.networks]
        return replace(self, networks=networks, settings=self.settings.changed(values), **others)

    def settings_of(self, network: StudyNetwork) -> Settings:
        """The study's settings with the network's own in their place."""
        own = {name: getattr(network, name) for name in OF_ONE_NETWORK}
        return replace(self.settings, **{name: value for name, value in own.items() if value is not None})


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
    tables = given.pop("network", [])
    if not isinstance(tables, list) or not tables:
        raise ItinfError(f"{path} names no network; expected at least one [[network]] table with name and data.")
    known = {f.name: str(f.type) for f in (*fields(Settings), *fields(Study)) if f.name not in NOT_IN_FILES}
    _require(given, {name: kind for name, kind in known.items() if name not in ("networks", "settings")}, str(path))
    networks = []
    for number, table in enumerate(tables, 1):
        where = f"{path}, network {number}"
        _require(table, {f.name: str(f.type) for f in fields(StudyNetwork)}, where)
        for name in ("name", "data"):
            if name not in table:
                raise ItinfError(f"{where}: {name!r} is missing.")
        networks.append(StudyNetwork(**table))
    return replace(Study([]).changed(**given), networks=networks)


def study_toml(study: Study) -> str:
    """The study as TOML, such that ``read_study`` gives it back."""
    settings = {f.name: getattr(study.settings, f.name) for f in fields(Settings) if f.name not in NOT_IN_FILES}
    entries = {**settings, "targets": study.targets, "lens": study.lens}
    text = tomli_w.dumps({name: value for name, value in entries.items() if value is not None})
    for network in study.networks:
        given = {name: value for name, value in asdict(network).items() if value not in (None, "", {})}
        options = given.pop("options", {})
        text += f"\n[[network]]\n{tomli_w.dumps(given)}"
        text += tomli_w.dumps({"network": {"options": options}}) if options else ""
    return text


def _require(given: dict[str, Any], known: dict[str, str], where: str) -> None:
    """Refuses an unknown key, and a value of another type than ``known`` says."""
    kinds: dict[str, Any] = {"int": int, "float": (int, float), "str": str, "dict": dict, "list": list}
    for key, value in given.items():
        if key not in known:
            raise ItinfError(f"{where}: unknown key {key!r}. {nearest(key, known)}")
        expected = next(kind for name, kind in kinds.items() if known[key].startswith(name))
        if not isinstance(value, expected) or isinstance(value, bool):
            raise ItinfError(f"{where}: {key} is {value!r}; expected {known[key]}.")
