"""NWB files in archives, as dandisets, paths in them and addresses name them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches

from nwbswitch.analysis.archive import Archive
from nwbswitch.analysis.archive_facts import NWB_SUFFIX, ZARR_SUFFIX, Asset
from nwbswitch.analysis.dandi_addresses import Address
from nwbswitch.analysis.path_patterns import has_pattern, matches_pattern, wider_pattern
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import issue

MANY_PARTS = 8
"""Parts of one version that are asked for one by one; for more, all of it is listed once."""


class Listings:
    """What archives hold, asked for part by part, and at once where many parts of one version are wanted."""

    def __init__(self) -> None:
        self._n_parts: Counter[object] = Counter()
        self._all: dict[object, list[Asset]] = {}

    def assets(self, archive: Archive, address: Address, *, glob: str = "", prefix: str = "") -> list[Asset]:
        """Return at least the assets that `Archive.assets` returns."""
        version = archive.instance, address.dandiset, address.version
        if version not in self._all and (glob or prefix):
            self._n_parts[version] += 1
            if self._n_parts[version] <= MANY_PARTS:
                return archive.assets(address.dandiset, address.version, glob=glob, prefix=prefix)
        if version not in self._all:
            self._all[version] = archive.assets(address.dandiset, address.version)
        return self._all[version]


def assets_at(address: Address, archive: Archive, listings: Listings) -> list[Asset]:
    """Return the NWB files that an address names, by path; assets that are Zarr stand among them.

    Raises
    ------
    IssuesError
        It names no NWB file; the message names what is most like it.
    InputFileError
        The archive does not answer, or does not have the dandiset, version or asset.
    """
    if address.asset_id:
        asset = (
            archive.asset(address.dandiset, address.version, address.asset_id)
            if address.dandiset
            else archive.asset_by_id(address.asset_id)
        )
        if not _is_nwb(asset):
            raise IssuesError([issue("no-source", f"asset {asset.asset_id}: {asset.path} is no NWB file.")])
        return [asset]
    path = address.path
    if has_pattern(path):
        found = listings.assets(archive, address, glob=wider_pattern(path))
        found = [each for each in found if matches_pattern(each.path, path)]
    elif address.is_prefix or path.endswith("/") or not path:
        found = listings.assets(archive, address, prefix=path)
        found = [each for each in found if each.path.startswith(path)]
    else:
        found = listings.assets(archive, address, prefix=path)
        exact = [each for each in found if each.path == path]
        found = exact or [each for each in found if each.path.startswith(f"{path}/")]
    everything = found or listings.assets(archive, address)
    return _checked(found, address, everything)


def _checked(found: Sequence[Asset], address: Address, everything: Sequence[Asset]) -> list[Asset]:
    wanted = [each for each in found if _is_nwb(each)]
    if wanted:
        return wanted
    path, version = address.path, everything[0].version if everything else address.version
    where = f"{address.dandiset}@{version}" if version else address.dandiset
    if found:
        others = "other" if len(found) == 1 else "others"
        problem = f"{where}: {path or 'it'} holds no NWB file but {len(found)} {others}."
        raise IssuesError([issue("no-source", problem)])
    paths = [each.path for each in everything if _is_nwb(each)]
    problem = f"{where} holds no asset {path}." if path else f"{where} holds no asset."
    raise IssuesError([issue("no-source", problem, remedy=_similar(path, paths))])


def _is_nwb(asset: Asset) -> bool:
    path = asset.path.lower()
    return path.endswith(NWB_SUFFIX) or (asset.is_zarr and path.endswith(NWB_SUFFIX + ZARR_SUFFIX))


def _similar(path: str, paths: Sequence[str]) -> str:
    close = get_close_matches(path, paths, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    listed = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
    return f"It holds {listed}." if paths else "It holds no NWB file."
