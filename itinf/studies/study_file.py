"""A study of several networks, and its TOML file: networks, data and settings."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import tomli_w

from ..errors import ItinfError, nearest, shown, system_error
from ..lenses.kinds import require_transfers
from ..networks.trace import TARGETS
from ..networks.weights import random_seed
from ..registry import probe as registered_probe
from ..results.power import ROLES
from ..settings import DEFAULTS, MEASURED_UNITS, Settings, one_of, whole, words

UNTRAINED = "untrained"
OF_ONE_NETWORK = ("units", "fit_units", "batch")
"""Settings that can be set for a single network."""
UNSAID = (("pairs", True), ("counterfactual", False))
"""Values of settings that are not written: older files do not know them."""
NOT_IN_FILES = ("shard", "device")
"""Settings of a single run, which are no part of a study."""


@dataclass
class StudyNetwork:
    """One network of a study: a [[network]] table of the file.

    Attributes:
        name: registered name; ``label``: its name in tables, by default ``name``.
        weights: as for ``itinf.network``, "" for its default; or ``untrained[:SEED]``: random weights with BatchNorm
            statistics of the data, without which the states of a BatchNorm network grow exponentially with depth.
        data: ``NAME[:ARGUMENT]``.
        units, fit_units, batch: settings for this network only; None for those of the study.
        fit_data: data to fit its lenses on; by default the training split of ``data``, or the clusters of ``data``
            that are not measured.
        fitted_on: other data to fit its lenses on, too: how much they retain says how much the lenses depend on their data.
        group: name of a group, such as that of all copies of one network from several trainings; "" for none.
        role: "yes" for a control that is known to do iterative inference, "no" for one that does none; "" for others.
        options: passed to the network's function; ``length``: tokens per sequence.

    Raises:
        ItinfError: a value is of a wrong type or out of range.
    """

    name: str
    data: str
    label: str = ""
    weights: str = ""
    units: int | None = None
    fit_units: int | None = None
    batch: int | None = None
    length: int | None = None
    fit_data: str = ""
    fitted_on: str = ""
    group: str = ""
    role: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("name", "data", "label", "weights", "fit_data", "fitted_on", "group", "role"):
            words(name, getattr(self, name), empty=name not in ("name", "data"))
        if self.role:
            one_of("role", self.role, ROLES)
        _ = self.untrained_seed  # refuses a wrong seed
        self.weights = self.weights or ("" if ":" in self.name else "random")  # a library has its own default
        for name in (*OF_ONE_NETWORK, "length"):
            setattr(self, name, whole(name, getattr(self, name), 1, optional=True))
        if not isinstance(self.options, dict) or not all(isinstance(key, str) for key in self.options):
            raise ItinfError(f"options is {shown(self.options)}; expected names with values, such as depth = 20.")

    @property
    def untrained_seed(self) -> int | None:
        """The seed of ``untrained[:SEED]``; None for other weights."""
        return random_seed(self.weights, UNTRAINED)

    @property
    def title(self) -> str:
        """Its name in tables."""
        return self.label or self.name


@dataclass
class Study:
    """Several networks that are measured in the same way.

    Attributes:
        networks: the networks, with their data.
        settings: settings for all networks; in the file they are keys at the top level, like ``targets`` and ``lens``.
        targets: targets of the losses: "label", "answer", "model".
        lens: the kind of the lens of each state, "affine" or "tuned"; "none" leaves out lenses and transfer; "auto"
            is affine for every network that has enough data to fit a lens.
        measure: names of registered probes that are measured beside the usual ones, such as "lesion".

    Raises:
        ItinfError: a value is of a wrong type, or there is no such target, kind of lens or probe.
    """

    networks: list[StudyNetwork]
    settings: Settings = field(default_factory=lambda: replace(DEFAULTS, units=MEASURED_UNITS))
    targets: list[str] = field(default_factory=lambda: ["label"])
    lens: str = "auto"
    measure: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not isinstance(self.measure, list | tuple):
            raise ItinfError(f'measure is {shown(self.measure)}; expected a list of probes, such as ["lesion"].')
        for probe in self.measure:
            registered_probe(probe)
        self.measure = list(dict.fromkeys(self.measure))
        for name, kind, what in (
            ("networks", StudyNetwork, "a list of itinf.StudyNetwork(name, data)"),
            ("targets", str, f"a list of {' or '.join(TARGETS)}"),
        ):
            value = getattr(self, name)
            if not isinstance(value, list | tuple) or not value or not all(isinstance(item, kind) for item in value):
                raise ItinfError(f"{name} is {shown(value)}; expected {what}, with at least one.")
            setattr(self, name, list(value))
        for target in self.targets:
            one_of("target", target, TARGETS)
        if not isinstance(self.settings, Settings):
            raise ItinfError(f"settings is {shown(self.settings)}; expected itinf.Settings(…).")
        if words("lens", self.lens) not in ("auto", "none"):
            require_transfers(self.lens)

    def changed(self, **values: Any) -> Study:
        """A copy with settings, ``targets``, ``lens`` or ``measure`` replaced, also for networks that set their own value.

        Raises:
            ItinfError: there is no such setting, or the value is not valid.
        """
        cleared: dict[str, Any] = {name: None for name in OF_ONE_NETWORK if name in values}
        others = {name: values.pop(name) for name in ("targets", "lens", "measure") if name in values}
        networks = [replace(network, **cleared) for network in self.networks]
        return replace(self, networks=networks, settings=self.settings.changed(values), **others)

    @property
    def groups(self) -> dict[str, list[str]]:
        """Group -> titles of its networks, in the order of the study."""
        groups: dict[str, list[str]] = {}
        for network in self.networks:
            if network.group:
                groups.setdefault(network.group, []).append(network.title)
        return groups

    @property
    def roles(self) -> dict[str, str]:
        """Title of a control -> its role."""
        return {network.title: network.role for network in self.networks if network.role}

    def settings_of(self, network: StudyNetwork) -> Settings:
        """The settings for one network: those of the study, replaced by those that the network sets."""
        set_here = {name: getattr(network, name) for name in OF_ONE_NETWORK}
        return replace(self.settings, **{name: value for name, value in set_here.items() if value is not None})


def read_study(path: Path) -> Study:
    """Reads a study from its TOML file.

    Raises:
        ItinfError: the file is missing or not TOML, a key is unknown or missing, or a value has the wrong type.
    """
    entries = _toml(path)
    tables = entries.pop("network", [])
    if not isinstance(tables, list) or not tables:
        raise ItinfError(
            f"{path} names no network; expected at least one [[network]] table with name and data. Add one."
        )
    known = [f.name for f in (*fields(Settings), *fields(Study)) if f.name not in NOT_IN_FILES]
    _require_known(entries, [name for name in known if name not in ("networks", "settings")], str(path))
    networks = []
    for number, table in enumerate(tables, 1):
        where = f"{path}, network {number}"
        if not isinstance(table, dict):
            raise ItinfError(f"{where} is {shown(table)}; expected a [[network]] table with name and data.")
        _require_known(table, [f.name for f in fields(StudyNetwork)], where)
        for name in ("name", "data"):
            if name not in table:
                raise ItinfError(f'{where}: {name!r} is missing; every network needs name and data. Add {name} = "…".')
        with _in_file(where):
            networks.append(StudyNetwork(**table))
    with _in_file(str(path)):
        return replace(Study(networks).changed(**entries), networks=networks)


@contextmanager
def _in_file(where: str) -> Iterator[None]:
    """Messages about a value also say where it stands."""
    try:
        yield
    except ItinfError as error:
        raise ItinfError(f"{where}: {error}") from None


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # skips a byte order mark
    except FileNotFoundError:
        raise ItinfError(f"There is no study file {str(path)!r}. Give the path of a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ItinfError(f"{path} is not TOML: {error}. Correct the file at that place.") from error
    except (RecursionError, ValueError) as error:  # nested too deeply, or a number of too many digits
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ItinfError(f"{path} cannot be read as a study: {why}. Correct the file.") from error
    except OSError as error:
        raise system_error(error, str(path), "be read") from error


def study_toml(study: Study) -> str:
    """The study as TOML; ``read_study`` reads it back."""
    settings = {f.name: getattr(study.settings, f.name) for f in fields(Settings) if f.name not in NOT_IN_FILES}
    entries = {**settings, "targets": study.targets, "lens": study.lens}
    entries = {name: value for name, value in entries.items() if value is not None and (name, value) not in UNSAID}
    entries |= {"measure": study.measure} if study.measure else {}
    text = tomli_w.dumps(entries)
    for network in study.networks:
        table = {name: value for name, value in asdict(network).items() if value not in (None, "", {})}
        options = table.pop("options", {})
        text += f"\n[[network]]\n{tomli_w.dumps(table)}"
        text += tomli_w.dumps({"network": {"options": options}}) if options else ""
    return text


def _require_known(given: dict[str, Any], known: list[str], where: str) -> None:
    for key in given:
        if key not in known:
            raise ItinfError(f"{where}: unknown key {key!r}. {nearest(key, known)}")
