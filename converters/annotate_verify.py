"""An annotated copy compared with its original: nothing changed but what was planned, and no new errors."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from nwbswitch.converters.annotate_edit import SPECIFICATIONS
from nwbswitch.converters.annotate_plan import Plan
from nwbswitch.converters.annotate_resources import RESOURCES
from nwbswitch.converters.annotate_target import LOG_PATH, read_target
from nwbswitch.schemas.errors import InputFileError, NwbswitchError
from nwbswitch.schemas.file_guard import check_hdf5
from nwbswitch.schemas.issues import Issue

# What every annotation may write.
_ALWAYS = (
    "general/notes",
    "general/was_generated_by",
    RESOURCES,
    SPECIFICATIONS,
    "file_create_date",
)


@dataclass(frozen=True, slots=True)
class Health:
    """What pynwb's validator and our rules find in a file."""

    schema_errors: Counter[str]
    findings: Counter[tuple[str, str]]
    issues: tuple[Issue, ...]

    def new_schema_errors(self, before: Health) -> list[str]:
        """Return the schema errors that the original did not have."""
        return sorted((self.schema_errors - before.schema_errors).elements())

    def new_issues(self, before: Health) -> list[Issue]:
        """Return the findings of our rules that the original did not have."""
        return [each for each in self.issues if (each.code, each.message) not in before.findings]


def health(path: Path, *, place: Path) -> Health:
    """Return what is wrong with an NWB file; ``place`` is its name in messages.

    Raises
    ------
    InputFileError
        When pynwb cannot read the file.
    """
    import pynwb

    from nwbswitch.converters.rules import broken_rules

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with pynwb.NWBHDF5IO(path, "r", load_namespaces=True) as io:
                issues = broken_rules(io.read())
            errors = Counter(f"{error.name}: {error.reason}" for error in pynwb.validate(path=path))
        except Exception as error:  # pynwb raises anything on odd files
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            problem = f"cannot be read by pynwb {pynwb.__version__}: {reason}"
            raise InputFileError(
                place, problem, "Convert the raw data again, or mend the file first."
            ) from error
    return Health(errors, Counter((each.code, each.message) for each in issues), tuple(issues))


def compare(original: Path, copy: Path, plan: Plan) -> None:
    """Raise unless the copy holds the planned parts and everything else as it was.

    Raises
    ------
    NwbswitchError
        When an object is missing, or its shape, type, storage or attributes differ.
    """
    check_hdf5(copy)
    free = (*_ALWAYS, *plan.touched)
    grown = plan.plane if plan.columns else ""
    with h5py.File(original, "r") as before, h5py.File(copy, "r") as after:
        for name, node in _nodes(before):
            if any(name == each or name.startswith(f"{each}/") for each in free):
                continue
            ignored = {"colnames"} if name == grown else set()
            if name not in after or _layout(node, ignored) != _layout(after[name], ignored):
                raise NwbswitchError(f"Annotating would change {name!r} too, so nothing was written.")
    found = read_target(copy)
    if plan.rows is not None and len((found.drug_log or {}).get("timestamp", [])) != len(plan.rows):
        raise NwbswitchError(f"The drug log does not read back from {LOG_PATH}; nothing was written.")


def _nodes(file: h5py.File) -> Iterator[tuple[str, Any]]:
    names: list[str] = []
    file.visit(names.append)
    for name in names:
        yield name, file[name]


def _layout(node: Any, ignored: set[str]) -> tuple[Any, ...]:
    """Return what tells whether an object was touched: of data their place in the file, which HDF5 keeps."""
    names = sorted(set(node.attrs) - ignored)
    attributes = tuple((name, _attribute(node.attrs, name)) for name in names)
    if not isinstance(node, h5py.Dataset):
        return (node.name, attributes)
    plan = node.id.get_create_plist()
    filters = tuple(plan.get_filter(n)[:3] for n in range(plan.get_nfilters()))
    return (
        node.name,
        attributes,
        node.shape,
        node.maxshape,
        node.dtype,
        node.chunks,
        filters,
        node.id.get_storage_size(),
        node.id.get_offset(),
    )


def _attribute(attributes: Any, name: str) -> str:
    """Return an attribute as text that can be compared; references without what they refer to."""
    try:
        value = attributes[name]
    except (OSError, TypeError, ValueError) as error:
        return f"unreadable: {error}"
    if isinstance(value, h5py.Reference):
        return "reference"
    return str(value.tolist() if hasattr(value, "tolist") else value)
