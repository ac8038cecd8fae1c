"""Pulses read from tables, arrays and sampled lines: known edges come back, odd files are refused."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from nwbswitch.converters.clocks.edges import EdgeFinder
from nwbswitch.converters.clocks.pulses import read_pulses
from nwbswitch.schemas.errors import InputFileError, IssuesError, UnsafeFileError
from nwbswitch.schemas.study_clocks import PulseSource

RATE_HZ = 1000.0
TIMES = np.array([0.25, 1.5, 1.75, 3.125])
LEVELS = np.array([0, 0, 1, 1, 0, 0, 0, 1, 1, 1], dtype=np.int16)
"""Two pulses; their edges lie between samples 1 and 2 and between 6 and 7."""


def write_csv(path: Path, **columns: Any) -> Path:
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def write_hdf5(path: Path, name: str, values: Any, **options: Any) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=values, **options)
    return path


def levels(path: Path, **keys: Any) -> PulseSource:
    return PulseSource(path=path, kind="levels", rate_hz=RATE_HZ, **{"threshold": 0.5, **keys})


def ramps(centres: NDArray[Any], n: int, *, width: float = 6.0, length: float = 20.0) -> NDArray[Any]:
    """Return a line from 0 to 5 that rises through 2.5 at each centre (samples) and falls after a length."""
    sample = np.arange(n)[:, None]
    up = np.clip((sample - centres) / width + 0.5, 0, 1)
    down = np.clip((sample - centres - length) / width + 0.5, 0, 1)
    return np.asarray(5 * (up - down).sum(axis=1))


# --- files


def test_times_in_a_table(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "ttl.csv", n=range(4), ttl_s=TIMES)
    train = read_pulses(PulseSource(path=path, column="ttl_s"))
    assert train.times_s.tolist() == TIMES.tolist()
    assert str(train.place) == f"{path} (ttl_s)"


def test_times_in_other_units_become_seconds(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "ttl.csv", ms=TIMES * 1000)
    assert read_pulses(PulseSource(path=path, column="ms", scale=0.001)).times_s.tolist() == TIMES.tolist()


@pytest.mark.parametrize(("first", "expected"), [(0, [0.25, 1.5]), (1, [0.249, 1.499])])
def test_sample_numbers_are_counted_at_their_rate(tmp_path: Path, first: int, expected: list[float]) -> None:
    path = tmp_path / "samples.npy"
    np.save(path, np.array([250, 1500]))
    source = PulseSource(path=path, kind="samples", rate_hz=RATE_HZ, first_sample=first)  # type: ignore[arg-type]
    assert read_pulses(source).times_s.tolist() == expected


def test_the_same_pulses_from_every_kind_of_file(tmp_path: Path) -> None:
    two = np.column_stack([np.zeros(10), LEVELS]).astype("<i2")
    np.save(tmp_path / "one.npy", LEVELS)
    np.save(tmp_path / "rows.npy", two.T)
    two.tofile(tmp_path / "raw.bin")
    savemat(tmp_path / "line.mat", {"line": LEVELS})
    savemat(tmp_path / "two.mat", {"line": two.astype(float)})
    with h5py.File(tmp_path / "v73.mat", "w", userblock_size=512) as file:
        node = file.create_dataset("line", data=LEVELS[:, None].astype(float))
        node.attrs["MATLAB_class"] = np.bytes_("double")
    with (tmp_path / "v73.mat").open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    write_csv(tmp_path / "line.csv", level=LEVELS)
    write_hdf5(tmp_path / "flat.h5", "DI/Frame Out", LEVELS)
    write_hdf5(tmp_path / "column.h5", "DI/Frame Out", LEVELS[:, None])
    write_hdf5(tmp_path / "two.h5", "ai", two)
    sources = {
        "one.npy": levels(tmp_path / "one.npy"),
        "rows.npy": levels(tmp_path / "rows.npy", channel=1),
        "raw.bin": levels(tmp_path / "raw.bin", dtype="int16", n_channels=2, channel=1),
        "line.mat": levels(tmp_path / "line.mat", variable="line"),
        "two.mat": levels(tmp_path / "two.mat", variable="line", channel=1),
        "v73.mat": levels(tmp_path / "v73.mat", variable="line"),
        "line.csv": levels(tmp_path / "line.csv", column="level"),
        "flat.h5": levels(tmp_path / "flat.h5", dataset="DI/Frame Out"),
        "column.h5": levels(tmp_path / "column.h5", dataset="/DI/Frame Out"),
        "two.h5": levels(tmp_path / "two.h5", dataset="ai", channel=1),
    }
    found = {name: read_pulses(source).times_s.tolist() for name, source in sources.items()}
    assert found == {name: [0.0015, 0.0065] for name in sources}


def test_levels_with_times_of_their_own(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "line.csv", ms=[0, 10, 20, 40, 50], v=[0, 0, 5, 5, 5])
    source = PulseSource(path=path, column="v", kind="levels", threshold=2.5, time_column="ms", scale=0.001)
    assert read_pulses(source).times_s.tolist() == [0.015]


def test_one_bit_of_a_digital_word(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "di.h5", "words", (LEVELS.astype(np.uint8) << 5) | 0b11)
    source = PulseSource(path=path, dataset="words", kind="levels", rate_hz=RATE_HZ, bit=5)
    assert read_pulses(source).times_s.tolist() == [0.0015, 0.0065]
    assert read_pulses(source.model_copy(update={"bit": 4})).times_s.size == 0
    with pytest.raises(InputFileError, match="no bit 9"):
        read_pulses(source.model_copy(update={"bit": 9}))


def test_the_highest_bit_of_signed_words(tmp_path: Path) -> None:
    path = tmp_path / "words.npy"
    np.save(path, np.where(LEVELS == 1, -(2**15), 0).astype(np.int16))
    source = PulseSource(path=path, kind="levels", rate_hz=RATE_HZ, bit=15)
    assert read_pulses(source).times_s.tolist() == [0.0015, 0.0065]


# --- edges


def test_edges_of_an_analog_line_lie_between_samples(tmp_path: Path) -> None:
    centres = np.arange(50, 20_000, 97.31)
    path = write_hdf5(tmp_path / "ai.h5", "v", ramps(centres, 20_100))
    found = read_pulses(levels(path, dataset="v", threshold=2.5)).times_s * RATE_HZ
    # The ramps are straight, so that interpolation is exact up to rounding.
    assert np.abs(found - centres).max() < 1e-6


def test_falling_edges(tmp_path: Path) -> None:
    centres = np.arange(50, 2_000, 97.31)
    path = write_hdf5(tmp_path / "ai.h5", "v", ramps(centres, 2_100))
    found = read_pulses(levels(path, dataset="v", threshold=2.5, edge="falling")).times_s * RATE_HZ
    assert np.abs(found - centres - 20).max() < 1e-6


def test_noise_makes_many_edges_and_hysteresis_leaves_one(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    centres = np.arange(100, 20_000, 97.31)
    noisy = ramps(centres, 20_100, width=40, length=50) + random.normal(0, 0.15, 20_100)
    path = write_hdf5(tmp_path / "ai.h5", "v", noisy)
    plain = read_pulses(levels(path, dataset="v", threshold=2.5)).times_s
    calm = read_pulses(levels(path, dataset="v", threshold=2.5, hysteresis=1.5)).times_s
    assert len(plain) > 1.2 * len(centres)
    assert len(calm) == len(centres)
    # A noise of 0.15 on a slope of 0.125 per sample moves a crossing by little more than a sample.
    assert np.abs(calm * RATE_HZ - centres).max() < 8


@pytest.mark.parametrize("hysteresis", [0.0, 0.8])
@pytest.mark.parametrize("falling", [False, True])
def test_blocks_do_not_change_what_is_found(hysteresis: float, falling: bool) -> None:
    random = np.random.default_rng(1)
    line = 1 + 2 * np.sin(np.arange(5000) / 20) + random.normal(0, 0.5, 5000)
    whole = EdgeFinder(threshold=1.0, hysteresis=hysteresis, falling=falling).edges(line)
    assert len(whole) > 10
    for size in (1, 7, 64, 4999):
        finder = EdgeFinder(threshold=1.0, hysteresis=hysteresis, falling=falling)
        parts = [finder.edges(line[start : start + size]) for start in range(0, len(line), size)]
        assert np.array_equal(np.concatenate(parts), whole)


def test_edges_are_those_of_a_plain_loop() -> None:
    random = np.random.default_rng(2)
    line = np.round(1 + 2 * np.sin(np.arange(3000) / 20) + random.normal(0, 0.5, 3000), 1)
    high, low, threshold = 1.5, 0.5, 1.0
    is_high, crossing, expected = not line[0] < low, np.nan, []
    for n in range(1, len(line)):
        if line[n - 1] < threshold <= line[n]:
            crossing = n - (line[n] - threshold) / (line[n] - line[n - 1])
        if line[n] < low:
            is_high = False
        elif line[n] >= high and not is_high:
            is_high = True
            expected.append(crossing)
    assert len(expected) > 10
    assert EdgeFinder(threshold=1.0, hysteresis=1.0).edges(line).tolist() == expected


def test_a_line_that_begins_high_has_no_edge_there(tmp_path: Path) -> None:
    path = tmp_path / "line.npy"
    np.save(path, np.array([1, 1, 0, 1]))
    assert read_pulses(levels(path)).times_s.tolist() == [0.0025]


def test_bounces_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "ttl.csv", s=[1.0, 1.004, 1.009, 1.012, 2.0, 2.0, 3.0])
    train = read_pulses(PulseSource(path=path, column="s", min_interval_s=0.01))
    # 1.012 is 12 ms after the pulse that was kept, whatever came between.
    assert train.times_s.tolist() == [1.0, 1.012, 2.0, 3.0]
    assert train.n_bounces == 3


def test_memory_does_not_grow_with_the_line(tmp_path: Path) -> None:
    """A line of 40 million samples (80 MB as int16, 320 MB as float64) is read in blocks of 2 MB."""
    path = tmp_path / "long.h5"
    n, period = 40_000_000, 10_000
    with h5py.File(path, "w") as file:
        block = np.zeros(1_000_000, dtype=np.int16)
        block.reshape(-1, period)[:, 100:200] = 3000
        node = file.create_dataset("ttl", (n,), dtype=np.int16, chunks=(250_000,), compression="gzip")
        for start in range(0, n, len(block)):
            node[start : start + len(block)] = block
    source = levels(path, dataset="ttl", threshold=1500)
    tracemalloc.start()
    times = read_pulses(source, block_samples=250_000).times_s
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(np.round(times * RATE_HZ - 99.5), np.arange(n // period) * period)
    assert peak < 20_000_000


# --- refusals


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for name, keys in {"a.npy": {}, "a.bin": {"dtype": "int16", "n_channels": 1, "channel": 0}}.items():
        with pytest.raises(InputFileError, match=name):
            read_pulses(levels(tmp_path / name, **keys))


def test_a_dataset_that_is_not_there_is_answered_by_those_that_are(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "daq.h5", "DI/Frame Out", LEVELS)
    with pytest.raises(InputFileError, match="there are: DI/Frame Out"):
        read_pulses(levels(path, dataset="frames"))
    with pytest.raises(InputFileError, match="no dataset"):
        read_pulses(levels(path, dataset="DI"))


@pytest.mark.parametrize(
    ("values", "keys", "words"),
    [
        (np.zeros((10, 3)), {}, "Give channel, from 0 to 2"),
        (np.zeros((10, 3)), {"channel": 3}, "Give channel, from 0 to 2"),
        (np.zeros((4, 4)), {"channel": 0}, "does not tell time from channels"),
        (np.zeros((4, 4, 2)), {}, "one dimension or two"),
        (np.zeros(5), {"channel": 2}, "one channel"),
        (np.array(["a", "b"]), {}, "where numbers of pulses"),
        (np.array([0, 1j]), {}, "where numbers of pulses"),
        (np.array([0, np.nan, 1]), {}, "sample 1 of the line"),
        (np.array([0.5, 2.0]), {"threshold": None, "bit": 0}, "no bit 0"),
    ],
    ids=["channels", "channel", "square", "three dimensions", "one", "text", "complex", "nan", "bits"],
)
def test_arrays_that_are_no_line(tmp_path: Path, values: Any, keys: dict[str, Any], words: str) -> None:
    np.save(tmp_path / "line.npy", values)
    with pytest.raises(InputFileError, match=words):
        read_pulses(levels(tmp_path / "line.npy", **keys))


def test_bits_of_fractions_in_a_table_are_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "line.csv", v=[0, 1.5, 3])
    with pytest.raises(InputFileError, match="fractions"):
        read_pulses(levels(path, column="v", threshold=None, bit=0))


def test_raw_samples_that_do_not_fill_the_file(tmp_path: Path) -> None:
    (tmp_path / "raw.bin").write_bytes(bytes(10))
    with pytest.raises(InputFileError, match="not a whole number of samples of 4 bytes"):
        read_pulses(levels(tmp_path / "raw.bin", dtype="int16", n_channels=2, channel=0))


@pytest.mark.parametrize(
    ("cells", "line", "words"),
    [
        (["1", "", "2"], 3, "missing"),
        (["1", "3", "2"], 4, "comes before pulse 2"),
        (["1", "x"], 3, "not a number"),
    ],
    ids=["empty", "backwards", "text"],
)
def test_cells_that_are_no_times(tmp_path: Path, cells: list[str], line: int, words: str) -> None:
    path = tmp_path / "ttl.csv"
    path.write_text("\n".join(["s,n", *(f"{cell},0" for cell in cells)]))
    with pytest.raises(IssuesError, match=words) as caught:
        read_pulses(PulseSource(path=path, column="s"))
    assert [each.place.line for each in caught.value.issues] == [line]


def test_times_of_levels_must_increase(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "line.csv", s=[0, 1, 1, 2], v=[0, 0, 5, 5])
    source = PulseSource(path=path, column="v", kind="levels", threshold=2.5, time_column="s")
    with pytest.raises(IssuesError, match="does not increase") as caught:
        read_pulses(source)
    assert caught.value.issues[0].place.line == 4


def test_times_are_no_sample_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", TIMES)
    with pytest.raises(InputFileError, match="Give kind: times"):
        read_pulses(PulseSource(path=tmp_path / "t.npy", kind="samples", rate_hz=RATE_HZ))


def test_backward_and_infinite_times_of_an_array(tmp_path: Path) -> None:
    np.save(tmp_path / "back.npy", TIMES[::-1])
    np.save(tmp_path / "inf.npy", np.array([0, np.inf]))
    for name, words in {"back.npy": "comes before pulse 1", "inf.npy": "pulse 2 has no finite time"}.items():
        with pytest.raises(InputFileError, match=words):
            read_pulses(PulseSource(path=tmp_path / name))


def test_noise_that_is_no_line_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nwbswitch.converters.clocks.pulses.MAX_PULSES", 100)
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).normal(0, 1, 1000))
    with pytest.raises(UnsafeFileError, match="give hysteresis"):
        read_pulses(levels(tmp_path / "noise.npy", threshold=0.0))
    np.save(tmp_path / "many.npy", np.arange(1000.0))
    with pytest.raises(UnsafeFileError, match="more than 100 pulses"):
        read_pulses(PulseSource(path=tmp_path / "many.npy"))


def test_one_huge_chunk_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nwbswitch.converters.clocks.pulses.MAX_CHUNK_BYTES", 1000)
    path = write_hdf5(tmp_path / "a.h5", "ttl", np.zeros(5000, np.int16), chunks=(5000,), compression="gzip")
    with pytest.raises(UnsafeFileError, match="smaller chunks"):
        read_pulses(levels(path, dataset="ttl"))


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    write_hdf5(tmp_path / "secret.h5", "ttl", LEVELS)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["ttl"] = h5py.ExternalLink("secret.h5", "ttl")
    with pytest.raises(UnsafeFileError, match="another file"):
        read_pulses(levels(tmp_path / "a.h5", dataset="ttl"))


def test_a_damaged_chunk_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    noise = np.random.default_rng(0).integers(0, 1000, 20_000)
    write_hdf5(path, "ttl", noise, chunks=(20_000,), compression="gzip")
    with h5py.File(path) as file:
        place = file["ttl"].id.get_chunk_info(0)
    with path.open("r+b") as stream:
        stream.seek(place.byte_offset + 100)
        stream.write(bytes(500))
    with pytest.raises(InputFileError, match=r"a\.h5: cannot be read"):
        read_pulses(levels(path, dataset="ttl"))


def test_an_array_of_objects_runs_nothing(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(InputFileError):
        read_pulses(levels(tmp_path / "o.npy"))


def test_no_pulses_are_no_error(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.zeros(100))
    np.save(tmp_path / "none.npy", np.empty(0))
    savemat(tmp_path / "none.mat", {"t": np.empty((0, 0))})
    assert read_pulses(levels(tmp_path / "flat.npy")).times_s.size == 0
    assert read_pulses(PulseSource(path=tmp_path / "none.npy")).times_s.size == 0
    assert read_pulses(PulseSource(path=tmp_path / "none.mat", variable="t")).times_s.size == 0
