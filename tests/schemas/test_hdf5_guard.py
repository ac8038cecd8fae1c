"""HDF5 files that hide, loop or promise: what links do not show, and what the library does not survive.

The plainer attacks (links to other files, external storage, sizes) are in ``test_hdf5_guard_files``.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from refusals import refusal

from nwbswitch.schemas import hdf5_guard, hdf5_references
from nwbswitch.schemas.errors import InputFileError, NwbswitchError
from nwbswitch.schemas.hdf5_guard import check_hdf5, open_hdf5
from nwbswitch.schemas.hdf5_lengths import stated_lengths


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.h5"


def address(node: Any) -> int:
    return int(h5py.h5o.get_info(node.id).addr)


def patch(path: Path, place: int, form: str, *values: int) -> None:
    """Write numbers over the bytes of a file."""
    data = bytearray(path.read_bytes())
    struct.pack_into(f"<{form}", data, place, *values)
    path.write_bytes(data)


# ---- what only references lead to -------------------------------------------------------------------------


@pytest.fixture
def hidden(path: Path, tmp_path: Path) -> tuple[Path, int]:
    """Return a file with a dataset in external storage that has lost its name, and its address."""
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"password" * 8)
    with h5py.File(path, "w") as file:
        file["known"] = np.arange(3)
        raw = file.create_dataset("group/raw", (64,), "u1", external=[(str(secret), 0, 64)])
        place, other = address(raw), address(file["known"])
    data = path.read_bytes()
    assert data.count(struct.pack("<Q", place)) == 1
    patch(path, data.index(struct.pack("<Q", place)), "Q", other)
    check_hdf5(path)
    return path, place


def reference_to(file: h5py.File, place: int) -> h5py.Reference:
    """Return a reference to an object without a name."""
    holder = file.create_dataset("temporary", (1,), h5py.ref_dtype)
    holder.id.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([place], np.uint64), mtype=h5py.h5t.STD_REF_OBJ)
    reference = holder[0]
    del file["temporary"]
    return reference


def put_dataset(file: h5py.File, reference: Any) -> None:
    file.create_dataset("r", data=np.array([file["known"].ref, reference], dtype=h5py.ref_dtype))


def put_attribute(file: h5py.File, reference: Any) -> None:
    file["known"].attrs["table"] = reference


def put_record(file: h5py.File, reference: Any) -> None:
    dtype = np.dtype([("start", "i4"), ("series", h5py.ref_dtype)])
    file.create_dataset("r", data=np.array([(1, reference)], dtype=dtype), chunks=(1,), compression="gzip")


def put_inner_record(file: h5py.File, reference: Any) -> None:
    dtype = np.dtype([("a", "i4"), ("b", np.dtype([("c", h5py.ref_dtype)]))])
    file.create_dataset("r", data=np.array([(1, (reference,))], dtype=dtype))


def put_array(file: h5py.File, reference: Any) -> None:
    dtype = np.dtype([("x", h5py.ref_dtype, (2,))])
    file.create_dataset("r", data=np.array([([file["known"].ref, reference],)], dtype=dtype))


def put_lists(file: h5py.File, reference: Any) -> None:
    lists = file.create_dataset("r", (2,), dtype=h5py.vlen_dtype(h5py.ref_dtype))
    lists[1] = np.array([file["known"].ref, reference], dtype=h5py.ref_dtype)


def put_region(file: h5py.File, reference: Any) -> None:
    region = file[reference].regionref[0:5]
    file.create_dataset("r", data=np.array([region], dtype=h5py.regionref_dtype))


@pytest.mark.parametrize(
    "put",
    [put_dataset, put_attribute, put_record, put_inner_record, put_array, put_lists, put_region],
)
def test_objects_that_only_references_lead_to_are_checked(hidden: tuple[Path, int], put: Any) -> None:
    path, place = hidden
    with h5py.File(path, "a") as file:
        reference = reference_to(file, place)
        assert bytes(file[reference][:8]) == b"password"
        put(file, reference)
    with refusal(path, r"\(by reference\) in another file \(external storage\)"):
        check_hdf5(path)


def test_groups_behind_references_are_walked(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["known"] = 1
        file["lost/inner/out"] = h5py.ExternalLink("other.h5", "/x")
        place, other = address(file["lost"]), address(file["known"])
    data = path.read_bytes()
    patch(path, data.index(struct.pack("<Q", place)), "Q", other)
    with h5py.File(path, "a") as file:
        file.attrs["group"] = reference_to(file, place)
    with refusal(path, r"\(by reference\)/inner/out to another file"):
        check_hdf5(path)


def test_references_that_lead_nowhere_are_left_alone(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["a"] = 1
        references = np.array([file["a"].ref, h5py.Reference(), file["a"].ref], dtype=h5py.ref_dtype)
        file.create_dataset("r", data=references)
        file.create_dataset("b", data=1).attrs["to"] = file["a"].ref
        file.attrs["none"] = h5py.Empty("f8")
        file["scale"] = np.zeros(3)
        file["scale"].make_scale()
        file["data"] = np.zeros(3)
        file["data"].dims[0].attach_scale(file["scale"])
        del file["a"]
    check_hdf5(path)


def test_too_many_references_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_references, "MAX_REFERENCES", 100)
    with h5py.File(path, "w") as file:
        file.create_dataset("r", (101,), h5py.ref_dtype)
    with refusal(path, "too many references at /r"):
        check_hdf5(path)


# ---- values of variable length ----------------------------------------------------------------------------

LENGTHS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "texts": (["a" * n for n in range(100)], h5py.string_dtype(), {}),
    "chunks": (["a" * n for n in range(100)], h5py.string_dtype(), {"chunks": (7,)}),
    "compressed": (["a" * n for n in range(100)], h5py.string_dtype("ascii"), {"compression": "gzip"}),
    "shuffled": (
        ["a" * n for n in range(100)],
        h5py.string_dtype(),
        {"compression": "gzip", "shuffle": True},
    ),
    "records": (
        [(1, "a" * n, 0.5, "b") for n in range(99)],
        np.dtype([("i", "i2"), ("s", h5py.string_dtype()), ("f", "f8"), ("t", h5py.string_dtype())]),
        {},
    ),
}


@pytest.mark.parametrize("userblock", [0, 512])
@pytest.mark.parametrize("case", list(LENGTHS))
def test_lengths_are_counted_as_they_are_stored(case: str, userblock: int, path: Path) -> None:
    values, dtype, options = LENGTHS[case]
    with h5py.File(path, "w", userblock_size=userblock) as file:
        file.create_dataset("a", data=np.array(values, dtype=dtype), **options)
        numbers = file.create_dataset("b", (3,), h5py.vlen_dtype("i4"))
        numbers[1] = np.arange(7)
        file["c"] = np.zeros(3)
    with open_hdf5(path) as file:
        assert stated_lengths(file["a"].id, path).size == 4950
        assert stated_lengths(file["b"].id, path).size == 28
        assert stated_lengths(file["c"].id, path).size == 0


def test_texts_that_grow_along_the_second_axis_are_counted(path: Path) -> None:
    """HDF5 2.0 says wrong places in the array for their chunks."""
    texts = np.array([["a" * (3 * row + column) for column in range(3)] for row in range(5)], dtype=object)
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("a", data=texts, chunks=(2, 1), maxshape=(9, None))
    with open_hdf5(path) as file:
        assert stated_lengths(file["a"].id, path).size == sum(range(15))


def test_a_thousand_texts_in_one_place_are_refused(path: Path) -> None:
    with h5py.File(path, "w") as file:
        node = file.create_dataset("s", (20_000,), dtype=h5py.string_dtype())
        node[0] = "x" * 1_000_000
        start = node.id.get_offset()
    data = bytearray(path.read_bytes())
    data[start : start + 16 * 20_000] = data[start : start + 16] * 20_000
    path.write_bytes(data)
    with h5py.File(path) as file:
        assert len(file["s"][19_999]) == 1_000_000
    with refusal(path, "states 20000000000 bytes of variable length at /s"):
        check_hdf5(path)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("place", ["dataset", "attribute"])
def test_one_text_of_two_gigabytes_is_refused(place: str, libver: str, path: Path) -> None:
    with h5py.File(path, "w", libver=libver) as file:
        if place == "dataset":
            file["s"] = np.array(["x" * 12_345], dtype=object)
        else:
            file.attrs["s"] = "x" * 12_345
    data = path.read_bytes()
    patch(path, data.index(struct.pack("<I", 12_345)), "I", 1_900_000_000)
    with refusal(path, "variable length"):
        check_hdf5(path)


def test_attributes_of_all_kinds_pass(path: Path) -> None:
    for libver in ("earliest", "v108", "latest"):
        with h5py.File(path, "w", libver=libver) as file:
            file.attrs["text"] = "µ" * 100
            file.attrs["texts"] = np.array(["a" * 100, "", "b"], dtype=object)
            file.attrs["numbers"] = np.arange(1000)
            file.attrs["record"] = np.array([(1, "a")], dtype=[("i", "i4"), ("s", h5py.string_dtype())])
            file.attrs.create("lists", [np.arange(3), np.arange(2)], dtype=h5py.vlen_dtype("i8"))
            for number in range(100):
                file.attrs[f"attribute {number}"] = "x" * number
        check_hdf5(path)
        with open_hdf5(path) as file:
            assert len(file.attrs) == 105


def test_attributes_have_a_limit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_guard, "MAX_ATTRIBUTE_BYTES", 1000)
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=1).attrs["big"] = np.zeros(200)
    with refusal(path, "attribute of more than 1000 bytes"):
        check_hdf5(path)


@pytest.mark.parametrize("place", ["dataset", "attribute", "record"])
def test_values_that_are_neither_lists_nor_texts_are_refused(place: str, path: Path) -> None:
    """The library crashes on them."""
    lists = h5py.vlen_dtype("u1")
    with h5py.File(path, "w") as file:
        if place == "attribute":
            file.attrs.create("s", [np.arange(3, dtype="u1"), np.arange(2, dtype="u1")], dtype=lists)
        else:
            dtype = lists if place == "dataset" else np.dtype([("a", "i4"), ("s", lists)])
            file.create_dataset("s", (2,), dtype)
    kind = bytes.fromhex(
        "19000000100000000100000010"
    )  # class 9, version 1, sequences, of numbers of one byte
    found = kind if kind in path.read_bytes() else kind[:8]
    patch(path, path.read_bytes().index(found) + 1, "B", 4)
    with refusal(path, "would crash the HDF5 library at /"):
        check_hdf5(path)


def test_types_nested_too_deep_are_refused(path: Path) -> None:
    dtype = np.dtype("u1")
    for _ in range(40):
        dtype = np.dtype([("a", dtype)])
    with h5py.File(path, "w") as file:
        file.create_dataset("s", (1,), dtype)
    with refusal(path, "nested too deep"):
        check_hdf5(path)


# ---- what never ends --------------------------------------------------------------------------------------


def message(path: Path, header: int, kind: int) -> int:
    """Return the place of the data of a message in an object header of version 1."""
    data = path.read_bytes()
    at = header + 16
    end = at + struct.unpack_from("<I", data, header + 8)[0]
    while at < end:
        found, size = struct.unpack_from("<HH", data, at)
        if found == kind:
            return at + 8
        at += 8 + size
    raise LookupError


@pytest.fixture
def named(path: Path) -> tuple[Path, int, int]:
    """Return a file with a group of many names, and the places of its tree and heap."""
    with h5py.File(path, "w") as file:
        for number in range(200):
            file.create_group(f"g/sub{number:04d}")
        header = address(file["g"])
    tree, heap = struct.unpack_from("<QQ", path.read_bytes(), message(path, header, 0x11))
    assert path.read_bytes()[tree : tree + 6] == b"TREE\x00\x01"
    assert path.read_bytes()[heap : heap + 4] == b"HEAP"
    check_hdf5(path)
    return path, tree, heap


@pytest.fixture
def chunked(path: Path) -> tuple[Path, int]:
    """Return a file with a dataset of many chunks, and the place of their tree."""
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=np.arange(1000), chunks=(1,))
        header = address(file["d"])
    (tree,) = struct.unpack_from("<Q", path.read_bytes(), message(path, header, 0x08) + 3)
    assert path.read_bytes()[tree : tree + 6] == b"TREE\x01\x01"
    check_hdf5(path)
    return path, tree


def test_a_node_that_is_its_own_child_is_refused(chunked: tuple[Path, int]) -> None:
    path, tree = chunked
    patch(path, tree + 24 + 24, "Q", tree)
    with refusal(path, f"the tree at {tree} has the node {tree} twice"):
        check_hdf5(path)


def test_a_group_that_is_its_own_child_is_refused(named: tuple[Path, int, int]) -> None:
    path, tree, _ = named
    patch(path, tree + 24 + 8, "Q", tree)
    with refusal(path, "twice"):
        check_hdf5(path)


def test_neighbours_that_lead_back_are_refused(named: tuple[Path, int, int]) -> None:
    path, tree, _ = named
    patch(path, tree + 8, "QQ", tree, tree)
    with refusal(path, "wrong neighbour"):
        check_hdf5(path)


def test_chunks_whose_neighbours_lead_back_are_refused(chunked: tuple[Path, int]) -> None:
    path, tree = chunked
    (child,) = struct.unpack_from("<Q", path.read_bytes(), tree + 24 + 24)
    patch(path, child + 16, "Q", child)
    with refusal(path, "wrong neighbour"):
        check_hdf5(path)


def test_free_blocks_that_go_round_are_refused(named: tuple[Path, int, int]) -> None:
    path, _, heap = named
    size, free, data = struct.unpack_from("<QQQ", path.read_bytes(), heap + 8)
    assert free < size
    patch(path, data + free, "QQ", free, 32)
    with refusal(path, "go round in a circle"):
        check_hdf5(path)


@pytest.mark.parametrize("place", ["dataset", "attribute", "region", "region attribute"])
@pytest.mark.parametrize(("number", "length"), [(1, (1 << 64) - 16), (0, 0), (1, 1 << 40)])
def test_heaps_whose_values_do_not_end_are_refused(place: str, number: int, length: int, path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["d"] = np.arange(10)
        region = np.array([file["d"].regionref[2:5]], dtype=h5py.regionref_dtype)
        if place == "dataset":
            file["s"] = np.array(["a", "b"], dtype=object)
        elif place == "attribute":
            file["d"].attrs["s"] = np.array(["a", "b"], dtype=object)
        elif place == "region":
            file["s"] = region
        else:
            file["d"].attrs["s"] = region
    check_hdf5(path)
    heap = path.read_bytes().index(b"GCOL")
    patch(path, heap + 16, "HHIQ", number, 1, 0, length)
    with refusal(path, f"the values in the heap at {heap} do not end"):
        check_hdf5(path)


def test_a_heap_that_is_none_is_damage(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["s"] = np.array(["a", "b"], dtype=object)
    path.write_bytes(path.read_bytes().replace(b"GCOL", b"GCOM"))
    with refusal(path, "no heap of values", InputFileError):
        check_hdf5(path)


def test_addresses_of_another_width_are_named(path: Path) -> None:
    plan = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    plan.set_sizes(4, 8)
    h5py.h5f.create(str(path).encode(), fcpl=plan).close()
    with refusal(path, "addresses have 4 bytes", InputFileError):
        check_hdf5(path)


def test_the_root_group_is_checked_before_the_library_opens_it(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        for number in range(20):
            file.create_group(f"sub{number}")
        header = address(file)
    data = path.read_bytes()
    at = data.index(b"HEAP")
    free, start = struct.unpack_from("<QQ", data, at + 16)
    assert header < 200
    patch(path, 512 + start + free, "QQ", free, 32)
    with refusal(path, "go round in a circle"):
        check_hdf5(path)


def test_a_header_that_continues_into_itself_is_refused(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for number in range(30):
            file.attrs[f"attribute{number}"] = np.arange(20.0)
        header = address(file["/"])
    place = message(path, header, 0x10)
    start, size = struct.unpack_from("<QQ", path.read_bytes(), place)
    patch(path, start, "HHB3xQQ", 0x10, 16, 0, start, size)
    with refusal(path, "continues into itself"):
        check_hdf5(path)


def test_an_address_beyond_the_end_is_damage(named: tuple[Path, int, int]) -> None:
    path, tree, _ = named
    patch(path, tree + 24 + 8, "Q", 1 << 40)
    with refusal(path, "is damaged: something should lie at 1099511627776, beyond the end", InputFileError):
        check_hdf5(path)


@pytest.mark.parametrize("libver", ["earliest", "v108", "v110", "latest"])
@pytest.mark.parametrize("userblock", [0, 512, 2048])
def test_files_of_every_version_pass(libver: str, userblock: int, path: Path) -> None:
    with h5py.File(path, "w", libver=(libver, "latest"), userblock_size=userblock) as file:
        for number in range(100):
            file.create_group(f"group{number}/sub").attrs["name"] = "x" * number
        file.create_dataset("chunks", data=np.zeros((500, 30)), chunks=(10, 10), compression="gzip")
        file.create_dataset("single", (300,), "u1", chunks=(1,), maxshape=(None,))[...] = 1
        file.create_dataset("never", (300,), "f8", chunks=(10,))
        file.create_dataset("none", (0,), "f8", maxshape=(None,))
        file["null"] = h5py.Empty("f8")
        file["type"] = np.dtype([("a", "i4")])
        for number in range(0, 100, 3):
            del file[f"group{number}"]
    with open_hdf5(path) as file:
        assert len(file) == 6 + 66
        assert file["single"][...].sum() == 300


# ---- links and names --------------------------------------------------------------------------------------


def test_links_of_unknown_kinds_are_refused(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["out"] = h5py.ExternalLink("other.h5", "/x")
    data = path.read_bytes()
    kind = data.rindex(b"\x40", 0, data.index(b"\x03out"))  # the type of an external link, before its name
    patch(path, kind, "B", 65)
    with refusal(path, "a link of kind 65"):
        check_hdf5(path)


def test_too_many_links_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_guard, "MAX_LINKS", 50)
    with h5py.File(path, "w") as file:
        for number in range(60):
            file[f"link{number}"] = h5py.SoftLink("/nowhere")
    with refusal(path, "more than 50 links"):
        check_hdf5(path)


@pytest.mark.parametrize(
    "remote", ["s3://bucket/file.nwb", "https://127.0.0.1/file.nwb", "file:///etc/passwd", "hdf5://x"]
)
def test_addresses_of_the_net_are_no_files(remote: str) -> None:
    with pytest.raises(InputFileError, match="not there"):
        check_hdf5(remote)


def test_random_damage_never_raises_anything_else(path: Path) -> None:
    rng = np.random.default_rng(11)
    with h5py.File(path, "w") as file:
        file.create_dataset("group/data", data=np.zeros((20, 30)), chunks=(5, 5), compression="gzip")
        file["group"].attrs["names"] = np.array(["a", "bc"], dtype=object)
        file["texts"] = np.array(["a", "bc"], dtype=object)
        file["refs"] = np.array([file["group"].ref], dtype=h5py.ref_dtype)
    data = path.read_bytes()
    refused = 0
    for _ in range(400):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), size=4):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            check_hdf5(path)
        except NwbswitchError:
            refused += 1
    assert refused > 50
