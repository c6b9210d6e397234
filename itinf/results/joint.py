"""Results in several folders, put together as one comparison; the folders are only read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ItinfError
from ..files import difference, folder_name
from .comparison import NETWORKS, TRANSFER, Comparison
from .manifest import read_manifest
from .probe_result import ProbeResult
from .transfer_result import TransferResult


@dataclass
class _Part:
    """A probe or a transfer of one network, and the folder given by the user that holds it.

    Attributes:
        folder: place of the folder in the user's list.
        seed: of an untrained copy; None for the network itself.
    """

    folder: int
    path: Path
    result: ProbeResult | TransferResult
    seed: int | None = None

    @property
    def owner(self) -> tuple[int, str]:
        return self.folder, self.result.name

    @property
    def fingerprint(self) -> Any:
        return self.result.manifest["network"].get("fingerprint")


def joined(folders: Sequence[Path]) -> Comparison:
    """One comparison of all finished results in several folders.

    Networks of one name get the names of their folders, too. A transfer joins the probe of the network with its
    fingerprint. ``.joined`` says what was renamed, shown once or left out, and why.

    Args:
        folders: of ``itinf probe``, ``transfer``, ``compare`` or ``merge``; they may be unfinished or damaged in part.

    Raises:
        ItinfError: there is no folder, or none of them holds finished results.
    """
    said: list[str] = []
    parts = [part for number, folder in enumerate(folders) for part in _parts(number, folder, said)]
    if not parts:
        raise ItinfError(f"No folder holds finished results. {' '.join(said)}".strip())
    runs = _once([part for part in parts if isinstance(part.result, ProbeResult)], said)
    moved = _once([part for part in parts if isinstance(part.result, TransferResult)], said)
    labels = _labels(folders)
    names = _names(runs, labels, said)
    transfers = _transfers(moved, runs, names, labels, said)
    both = Comparison([_called(part.result, names[part.owner]) for part in runs], transfers, joined=said)
    _take_over(both, folders, names)
    return both


def _parts(number: int, folder: Path, said: list[str]) -> Iterator[_Part]:
    """The finished probes and transfers in one folder; what cannot be read is said."""
    try:
        top = read_manifest(folder) or {}
    except ItinfError as error:
        said.append(f"Left out: {error}")
        top = {}
    order = [folder_name(name) for name in top.get("networks", {})]
    inside = [*(folder / NETWORKS).glob("[!.]*"), *(folder / TRANSFER).glob("[!.]*/[!.]*")]
    place = {path: path.relative_to(folder).parts[1] for path in inside}
    inside.sort(
        key=lambda p: (p.parent.parent.name == TRANSFER, order.index(place[p]) if place[p] in order else 1e9, p)
    )
    found = False
    for path in [folder, *inside] if top.keys() & {"probes", "lens"} else inside:
        found = True
        try:
            manifest = read_manifest(path) or {}
            seed = int(path.name.rpartition("-")[2]) if path.name.startswith("untrained-") else None
            if "lens" in manifest:
                transfer = TransferResult.load(path)
                yield _Part(number, path, transfer if seed is None else transfer.as_null("untrained", seed), seed)
            else:
                yield _Part(number, path, ProbeResult.load(path))
        except ItinfError as error:
            said.append(f"Left out: {error}")
    if not found and not said:
        said.append(f"{folder} holds no results. Give folders that itinf has written.")


def _once(parts: list[_Part], said: list[str]) -> list[_Part]:
    """Leaves out every measurement that was given before, such as a copy of its folder."""
    kept: list[_Part] = []
    for part in parts:
        same = [one for one in kept if one.seed == part.seed and _same(one.result.identity, part.result.identity)]
        if same:
            said.append(f"{part.path} and {same[0].path} hold the same measurement of {part.result.name}: shown once.")
        else:
            kept.append(part)
    return kept


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return difference(one, other) is None


def _labels(folders: Sequence[Path]) -> list[str]:
    """As much of the end of each folder's path as tells it apart from the others."""
    paths = [folder.absolute().parts for folder in folders]
    for length in range(1, max(map(len, paths)) + 1):
        labels = ["/".join(parts[-length:]) for parts in paths]
        if len(set(labels)) == len(set(paths)):
            break
    return labels


def _names(runs: Sequence[_Part], labels: Sequence[str], said: list[str]) -> dict[tuple[int, str], str]:
    """(folder, recorded name) -> the name that tells a network apart from the others."""
    names = {}
    for part in runs:
        name = part.result.name
        several = [one for one in runs if folder_name(one.result.name) == folder_name(name)]
        names[part.owner] = name if len(several) == 1 else f"{name} ({labels[part.folder]})"
    for number, name in names:
        if names[number, name] != name:
            said.append(
                f"Several folders have a network {name}; that of {labels[number]} is called “{names[number, name]}”."
            )
    if len(set(map(folder_name, names.values()))) < len(names):
        raise ItinfError(
            f"Networks cannot be told apart by the names of their folders ({', '.join(names.values())}). Rename a folder."
        )
    return names


def _transfers(
    moved: Sequence[_Part],
    runs: Sequence[_Part],
    names: dict[tuple[int, str], str],
    labels: Sequence[str],
    said: list[str],
) -> list[TransferResult]:
    """Every transfer under the name of the network whose fingerprint it has; ``names`` gets those without a probe."""
    taken: dict[str, list[TransferResult]] = {}
    for part in (one for one in moved if one.seed is None):
        name = _probed_as(part, runs, names, taken)
        if name is None:
            name = part.result.name
            if folder_name(name) in {folder_name(known) for known in (*names.values(), *taken)}:
                name = f"{name} ({labels[part.folder]})"
            if name in taken or name in names.values():
                said.append(f"{part.path} is left out: another transfer of {name} is shown.")
                continue
        copies = [one for one in moved if one.seed is not None and one.owner == part.owner]
        copies.sort(key=lambda one: one.seed or 0)
        whole = [one for number, one in enumerate(copies) if one.seed == number]
        taken[name] = [_called(one.result, name) for one in (part, *whole)]
        said.extend(f"{one.path} is left out: an untrained copy before it is missing." for one in copies[len(whole) :])
    owners = {one.owner for one in moved if one.seed is None}
    said.extend(
        f"{one.path} is left out: the transfer of its trained network is missing."
        for one in moved
        if one.seed is not None and one.owner not in owners
    )
    return [transfer for listed in taken.values() for transfer in listed]


def _probed_as(
    part: _Part, runs: Sequence[_Part], names: Mapping[tuple[int, str], str], taken: Mapping[str, Any]
) -> str | None:
    """The name of the probed network that a transfer belongs to, that of its own folder first; None if there is none."""
    same = [one for one in runs if part.fingerprint is not None and one.fingerprint == part.fingerprint]
    same.sort(key=lambda one: one.folder != part.folder)
    return next((name for one in same if (name := names[one.owner]) not in taken), None)


def _called(result: Any, name: str) -> Any:
    """A result under another name."""
    if result.name == name:
        return result
    manifest = result.manifest | {"network": result.manifest["network"] | {"name": name}}
    if isinstance(result, TransferResult):
        tables = {key: getattr(result, key).assign(model=name) for key in ("table", "summaries")}
        return replace(result, manifest=manifest, **tables)
    stages = {stage: replace(sums, structure=sums.structure | {"model": name}) for stage, sums in result.stages.items()}
    examples = None if result.examples is None else replace(result.examples, network=name)
    return replace(result, stages=stages, manifest=manifest, examples=examples)


def _take_over(both: Comparison, folders: Sequence[Path], names: Mapping[tuple[int, str], str]) -> None:
    """Adds the notes, groups and roles of the comparisons that were put together."""
    for number, folder in enumerate(folders):
        try:
            manifest = read_manifest(folder) or {}
        except ItinfError:  # said before
            continue
        both.notes += [note for note in manifest.get("notes", []) if note not in both.notes]
        both.joined += [said for said in manifest.get("joined") or [] if said not in both.joined]
        for group, members in (manifest.get("groups") or {}).items():
            listed = both.groups.setdefault(group, [])
            listed += [names[number, name] for name in members if (number, name) in names]
        for name, role in (manifest.get("roles") or {}).items():
            if (number, name) in names:
                both.roles[names[number, name]] = role
    both.groups = {group: members for group, members in both.groups.items() if members}
