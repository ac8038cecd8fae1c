"""Summaries saved, split, joined and fitted: the same numbers as from the rows."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nwbswitch import fit
from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.summaries.summarise import read_summaries, summarise
from nwbswitch.analysis.summaries.summary_file import load_summaries, save_summaries
from nwbswitch.analysis.summaries.unit_map import summarise_rows
from nwbswitch.schemas.errors import ExistingOutputError, FitError, InputFileError, NwbswitchError

FORMULA = "y ~ drug * epoch + (1 + epoch | animal) + (1 | session) + (1 | neuron)"


def table(*, seed: int = 3, animals: int = 6) -> pd.DataFrame:
    """Return an unbalanced crossover; one session has no second epoch."""
    rng = np.random.default_rng(seed)
    rows = []
    for animal in range(animals):
        slope = rng.normal(0.3, 0.3)
        for session in range(4):
            for neuron in range(rng.integers(4, 9)):
                own = rng.normal(animal * 0.2, 1.0)
                for trial in range(rng.integers(1, 4)):
                    for epoch in ("before", "after"):
                        if epoch == "after" and (animal, session) == (0, 0):
                            continue
                        value = own + slope * (epoch == "after") + rng.normal()
                        name = f"a{animal}s{session}"
                        rows.append(
                            (f"a{animal}", name, f"{name}n{neuron}", session % 2, epoch, trial, value)
                        )
    found = pd.DataFrame(rows, columns=["animal", "session", "neuron", "drug", "epoch", "trial", "y"])
    return found.assign(drug=found["drug"].map({0: "saline", 1: "ketamine"}))


def same(one, other, *, tolerance: float = 1e-10) -> None:
    assert one.criterion == pytest.approx(other.criterion, rel=tolerance)
    for frame in ("table", "random", "anova"):
        first, second = (getattr(each, frame)() for each in (one, other))
        assert list(first.columns) == list(second.columns)
        for name in first.columns:
            if first[name].dtype.kind == "f":
                loose = 1e-8 if name in ("df", "den_df", "p", "sd", "variance") else 10 * tolerance
                assert np.allclose(first[name], second[name], rtol=loose, atol=loose, equal_nan=True), name
            else:
                assert list(first[name]) == list(second[name])


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    held = summarise_rows(table(), read_formula(FORMULA))
    save_summaries(held, tmp_path / "x.summary.npz")
    found = load_summaries(tmp_path / "x.summary.npz")
    assert found.definition == held.definition
    assert found.columns == held.columns
    assert found.levels == held.levels
    for name in ("n_rows", "centres", "kinds", "cell_unit", "cell_kind", "cell_count"):
        assert np.array_equal(getattr(found, name), getattr(held, name)), name
    assert np.array_equal(found.within, held.within)
    for name in ("products", "slopes"):
        own, other = getattr(found, name), getattr(held, name)
        assert (own is None) == (other is None)
        assert own is None or np.array_equal(own, other)
    assert set(found.groups) == set(held.groups)
    assert set(found.values) == set(held.values)
    with np.load(tmp_path / "x.summary.npz", allow_pickle=False) as plain:
        assert json.loads(plain["header"].tobytes())["format"] == "nwbswitch-summaries"


def test_fit_from_files_equals_fit_from_rows(tmp_path: Path) -> None:
    rows = table()
    of_rows = fit(rows, FORMULA)
    rng = np.random.default_rng(1)
    sessions = rng.permutation(rows["session"].unique())
    for position, part in enumerate(np.array_split(sessions, 5)):
        chosen = rows[rows["session"].isin(part)].sample(frac=1.0, random_state=position)
        chosen.to_parquet(tmp_path / f"p{4 - position}.parquet")
    result = summarise(sorted(tmp_path.glob("*.parquet")), FORMULA, out=tmp_path / "sums", quiet=True)
    assert (result.n_rows, result.n_units) == (len(rows), 24)
    same(fit(tmp_path / "sums", FORMULA), of_rows)


def test_what_is_constant_in_one_file_varies_in_another(tmp_path: Path) -> None:
    """The session without a second epoch, alone in its file, has no column for the epoch."""
    rows = table()
    alone = rows["session"] == "a0s0"
    for name, chosen in (("a", rows[alone]), ("b", rows[~alone])):
        chosen.to_parquet(tmp_path / f"{name}.parquet")
    formula = "y ~ drug * epoch + (1 | animal) + (1 | session) + (1 | neuron)"
    files = sorted(tmp_path.glob("*.parquet"))
    summarise(files, formula, out=tmp_path / "sums", quiet=True)
    assert "epoch" in load_summaries(tmp_path / "sums" / "a.summary.npz").values
    same(fit(tmp_path / "sums", formula), fit(rows, formula))


def test_a_file_for_every_session(tmp_path: Path) -> None:
    """Alone, a session has one animal, one drug, and its animal groups as it does."""
    rows = table()
    for name, chosen in rows.groupby("session"):
        chosen.to_parquet(tmp_path / f"{name}.parquet")
    summarise(sorted(tmp_path.glob("*.parquet")), FORMULA, out=tmp_path / "sums", quiet=True)
    same(fit(tmp_path / "sums", FORMULA), fit(rows, FORMULA))


def test_folders_of_labs_in_a_folder(tmp_path: Path) -> None:
    """Tables of two labs may have the same name."""
    rows = table()
    first = rows["animal"].isin(["a0", "a1", "a2"])
    for lab, chosen in (("a", rows[first]), ("b", rows[~first])):
        file = tmp_path / "cells.parquet"
        chosen.to_parquet(file)
        summarise([file], FORMULA, out=tmp_path / "all" / lab, quiet=True)
    same(fit(tmp_path / "all", FORMULA), fit(rows, FORMULA))


def test_one_part_alone_is_refused_when_it_is_fitted(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    table().query("session == 'a1s1'").to_parquet(file)
    summarise([file], FORMULA, out=tmp_path / "sums", quiet=True)
    with pytest.raises(NwbswitchError, match=r"'drug' has|one level"):
        fit(tmp_path / "sums", FORMULA)


def test_terms_of_sessions_can_change_when_fitting(tmp_path: Path) -> None:
    rows = table().assign(sex=lambda each: np.where(each["animal"].isin(["a1", "a4"]), "f", "m"))
    file = tmp_path / "t.parquet"
    rows.to_parquet(file)
    wide = "y ~ drug * epoch + sex + (1 + epoch | animal) + (1 | session) + (1 | neuron)"
    summarise([file], wide, out=tmp_path / "sums", quiet=True)
    other = "y ~ drug * epoch * sex + (1 | animal) + (1 + epoch | session) + (1 | neuron)"
    same(fit(tmp_path / "sums", other), fit(rows, other), tolerance=1e-9)


def test_a_response_of_a_million_changes_nothing(tmp_path: Path) -> None:
    rows = table()
    file = tmp_path / "t.parquet"
    rows.assign(y=rows["y"] + 1e6).to_parquet(file)
    summarise([file], FORMULA, out=tmp_path / "sums", quiet=True)
    found, plain = fit(tmp_path / "sums", FORMULA), fit(rows, FORMULA)
    assert found.criterion == pytest.approx(plain.criterion, rel=1e-8)
    assert np.allclose(found.table()["se"], plain.table()["se"], rtol=1e-8)
    assert np.allclose(found.table()["estimate"][1:], plain.table()["estimate"][1:], atol=1e-8)
    assert found.table()["estimate"][0] - 1e6 == pytest.approx(plain.table()["estimate"][0], abs=1e-8)


def saved(folder: Path, rows: pd.DataFrame, name: str, formula: str = FORMULA, **options: str) -> None:
    file = folder / f"{name}.parquet"
    rows.to_parquet(file)
    summarise([file], formula, out=folder / name, quiet=True, **options)
    (folder / "all").mkdir(exist_ok=True)
    (folder / name / f"{name}.summary.npz").rename(folder / "all" / f"{name}.summary.npz")


@pytest.mark.parametrize(
    ("change", "formula", "options", "said"),
    [
        ({}, FORMULA, {}, "is in a.summary.npz and in b.summary.npz"),
        ({"rename": True}, FORMULA.replace("y ~", "log(y + 50) ~"), {}, "response"),
        ({"rename": True}, FORMULA.replace("(1 | neuron)", "(1 + epoch | neuron)"), {}, "innermost group"),
        ({"rename": True}, FORMULA, {"where": "y > -100"}, "condition"),
        ({"rename": True}, FORMULA.replace(" + (1 | neuron)", ""), {}, "innermost group"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path, change, formula, options, said):
    rows = table()
    saved(tmp_path, rows, "a")
    other = rows.assign(session="x" + rows["session"], neuron="x" + rows["neuron"]) if change else rows
    saved(tmp_path, other, "b", formula, **options)
    with pytest.raises(FitError, match=said):
        read_summaries(tmp_path / "all")


def test_the_same_work_is_done_once_and_other_work_needs_a_word(tmp_path: Path) -> None:
    rows = table()
    file = tmp_path / "t.parquet"
    rows.to_parquet(file)
    summarise([file], FORMULA, out=tmp_path / "sums", quiet=True)
    written = tmp_path / "sums" / "t.summary.npz"
    before = written.stat().st_mtime_ns
    summarise([file], FORMULA, out=tmp_path / "sums", quiet=True)
    assert written.stat().st_mtime_ns == before
    with pytest.raises(ExistingOutputError):
        summarise([file], FORMULA.replace("drug *", ""), out=tmp_path / "sums", quiet=True)
    renamed = file.rename(tmp_path / "u.parquet")
    summarise([renamed], FORMULA, out=tmp_path / "sums", quiet=True, overwrite=True)
    assert [each.name for each in (tmp_path / "sums").glob("*.npz")] == ["u.summary.npz"]


def test_a_table_that_cannot_hold_the_model_is_named(tmp_path: Path) -> None:
    file = tmp_path / "bad.parquet"
    table().assign(y=float("inf")).to_parquet(file)
    with pytest.raises(FitError, match=r"bad\.parquet"):
        summarise([file], FORMULA, out=tmp_path / "sums", quiet=True)
    assert not list((tmp_path / "sums").glob("*.npz"))


def test_a_folder_without_summaries(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no summaries"):
        read_summaries(tmp_path)


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_file_is_an_error_of_ours(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "x.summary.npz"
    save_summaries(summarise_rows(table(animals=2), read_formula(FORMULA)), path)
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for _ in range(rng.integers(1, 6)):
        content[rng.integers(len(content))] = rng.integers(256)
    path.write_bytes(bytes(content[: rng.integers(len(content))]) if seed % 3 == 0 else bytes(content))
    try:
        load_summaries(path)
    except NwbswitchError:
        return
    assert seed % 3 != 0, "a file that was cut off was read"


def rewritten(path: Path, **changes: np.ndarray) -> None:
    with np.load(path, allow_pickle=False) as held:
        arrays = {name: held[name] for name in held.files}
    np.savez_compressed(path, allow_pickle=True, **(arrays | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"n_rows": np.array([0, -1])},
        {"cell_unit": np.array([10**9])},
        {"within": np.full((8, 10), np.nan)},
        {"header": np.array([{"a": 1}], dtype=object)},
        {"header": np.frombuffer(b"{}", dtype=np.uint8)},
        {"header": np.frombuffer(b"[" * 100_000, dtype=np.uint8)},
        {"kinds": np.zeros((0, 1, 1))},
        {"centres": np.zeros((2, 2))},
    ],
)
def test_contradictions_are_refused(tmp_path: Path, changes: dict[str, np.ndarray]) -> None:
    path = tmp_path / "x.summary.npz"
    save_summaries(summarise_rows(table(animals=2), read_formula(FORMULA)), path)
    rewritten(path, **changes)
    with pytest.raises(NwbswitchError):
        load_summaries(path)


def test_another_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.summary.npz"
    save_summaries(summarise_rows(table(animals=2), read_formula(FORMULA)), path)
    with np.load(path, allow_pickle=False) as held:
        header = json.loads(held["header"].tobytes())
    text = json.dumps(header | {"version": 99}).encode()
    rewritten(path, header=np.frombuffer(text, dtype=np.uint8))
    with pytest.raises(InputFileError, match="version 99"):
        load_summaries(path)


def weighted(*, seed: int = 8) -> pd.DataFrame:
    """Return rows whose weights rise with a covariate, so that weighted and plain means differ."""
    rng = np.random.default_rng(seed)
    rows = table(seed=seed)
    x = rng.normal(30.0, 1.0, len(rows))
    constant = rows["session"] == "a1s1"
    x[constant] = 33.0
    return rows.assign(x=x, w=np.exp(x - 30.0), y=rows["y"] + 0.4 * x * (rows["drug"] == "ketamine"))


@pytest.mark.parametrize("weights", ["w", None])
def test_marginal_means_are_taken_at_the_plain_mean_of_a_number(tmp_path: Path, weights: str | None) -> None:
    """From rows, by either engine, and from files; in one file the number is constant in its session."""
    rows = weighted()
    plain, heavy = rows["x"].mean(), np.average(rows["x"], weights=rows["w"])
    assert abs(plain - heavy) > 0.3
    formula = "y ~ x * drug + (1 | animal) + (1 | session) + (1 | neuron)"
    alone = rows["session"] == "a1s1"
    for name, chosen in (("a", rows[alone]), ("b", rows[~alone])):
        chosen.to_parquet(tmp_path / f"{name}.parquet")
    files = sorted(tmp_path.glob("*.parquet"))
    summarise(files, formula, weights=weights, out=tmp_path / "sums", quiet=True)
    of_file = load_summaries(tmp_path / "sums" / "b.summary.npz")
    first = rows[rows["session"] == "a0s0"]
    place = of_file.groups["session"].levels.index("a0s0")
    assert of_file.groups["session"].codes is not None
    unit = int(np.flatnonzero(of_file.groups["session"].codes == place)[0])
    assert of_file.means["x"][unit] == pytest.approx(first["x"].mean(), rel=1e-14)
    fits = [
        fit(rows, formula, weights=weights, engine="nested"),
        fit(rows, formula, weights=weights, engine="sparse"),
        fit(tmp_path / "sums", formula),
    ]
    by_hand = fits[1].marginal_means("drug", at={"x": plain}).table()["emmean"].to_numpy()
    for each in fits:
        assert each.model.variables["x"].mean == pytest.approx(plain, rel=1e-13)
        # Engines search to 1e-8 or so in theta; taken at the weighted mean, these differ by 0.3 and more.
        assert each.marginal_means("drug").table()["emmean"].to_numpy() == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("damage", ["shape", "nan", "name", "missing", "left out"])
def test_means_that_do_not_fit_are_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.summary.npz"
    save_summaries(
        summarise_rows(weighted(), read_formula("y ~ x + (1 | animal/session)"), weights="w"), path
    )
    with np.load(path, allow_pickle=False) as held:
        arrays = dict(held)
    header = json.loads(arrays["header"].tobytes())
    assert header["means"] == ["x"]
    if damage == "shape":
        arrays["mean:x"] = arrays["mean:x"][:-1]
    elif damage == "nan":
        arrays["mean:x"][0] = np.nan
    elif damage == "name":
        header["means"] = ["x", "y"]
        arrays["mean:y"] = arrays["mean:x"]
    elif damage == "missing":
        del arrays["mean:x"]
    else:
        header["means"] = []
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    np.savez(path, **arrays)
    with pytest.raises(InputFileError, match="mean:"):
        load_summaries(path)


def test_without_weights_means_may_be_left_out() -> None:
    held = summarise_rows(weighted(), read_formula("y ~ x + (1 | animal/session)"))
    assert replace(held, means={}).mean_of("x") == pytest.approx(held.means["x"], rel=1e-14)
