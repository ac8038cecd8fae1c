"""The engine that groups call for, crossed factors in the tree, and the kinds of tables that are taken."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.fit import fit
from nwbswitch.analysis.mixed.model_frame import ModelFrame
from nwbswitch.analysis.mixed.prepare import prepare
from nwbswitch.analysis.summaries.unit_map import summarise_rows
from nwbswitch.schemas.errors import FormulaError, InputFileError

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
PENICILLIN = json.loads((REFERENCE / "mixed_models.json").read_text())["models"]["Penicillin"]
FOLLOWED = "y ~ drug * epoch + (1 + epoch | animal) + (1 + epoch | session) + (1 | neuron)"
SHOWN = "y ~ drug + x + (1 | animal) + (1 | session) + (1 | neuron) + (0 + x | stimulus) + (1 | stimulus)"
BOTH = "y ~ drug * epoch + (1 | animal) + (1 | session) + (epoch | neuron) + (1 | stimulus)"


def followed() -> pd.DataFrame:
    """Neurons of an animal are followed over its sessions, not each in all; stimuli are shown to all."""
    rng = np.random.default_rng(2)
    index = pd.MultiIndex.from_product([range(5), range(4), range(6), range(4)])
    found = index.to_frame(index=False, name=["a", "s", "n", "rep"])
    found = found[(found["s"] < 2 + found["a"] % 3) & (rng.uniform(size=len(found)) < 0.8)]
    found = found.sample(frac=1.0, random_state=1).reset_index(drop=True)
    found["animal"] = "a" + found["a"].astype(str)
    found["session"] = found["animal"] + "s" + found["s"].astype(str)
    found["neuron"] = found["animal"] + "n" + found["n"].astype(str)
    found["drug"] = np.where((found["a"] + found["s"]) % 2 == 0, "ketamine", "saline")
    found["epoch"] = rng.integers(0, 2, len(found))
    found["x"] = rng.normal(3.0, 1.0, len(found))
    found["stimulus"] = rng.integers(0, 7, len(found))
    found["y"] = (
        rng.normal(size=5)[found["a"]] + rng.normal(size=7)[found["stimulus"]] + rng.normal(size=len(found))
    )
    found["y"] += rng.normal(size=30)[found["a"] * 6 + found["n"]]
    return found


def nested(neurons: pd.DataFrame) -> pd.DataFrame:
    return neurons.assign(neuron=neurons["session"] + neurons["neuron"])


def full_criterion(frame: ModelFrame, psi: list[np.ndarray]) -> float:
    """REML criterion from the covariance matrix of all rows."""
    V = np.eye(frame.n_rows)
    for level, own in zip(frame.levels, psi, strict=True):
        Z = np.concatenate([block.matrix for block in level.blocks], axis=1)
        V += (Z @ own @ Z.T) * (level.codes[:, None] == level.codes[None, :])
    X, y = frame.fixed.matrix, frame.response
    inverse = np.linalg.inv(V)
    information = X.T @ inverse @ X
    rest = y - X @ np.linalg.solve(information, X.T @ inverse @ y)
    nu = frame.n_rows - X.shape[1]
    value = np.linalg.slogdet(V)[1] + np.linalg.slogdet(information)[1]
    return float(value + nu * (1 + np.log(2 * np.pi * (rest @ inverse @ rest) / nu)))


@pytest.mark.parametrize(
    ("formula", "table", "names"),
    [
        (FOLLOWED, followed(), ["neuron", "session", "animal"]),
        (SHOWN, nested(followed()), ["neuron", "session", "animal", "stimulus"]),
        (BOTH, followed(), ["neuron", "session", "animal", "stimulus"]),
        ("y ~ x + (1|animal) + (1|stimulus)", followed(), ["stimulus", "animal"]),
    ],
)
def test_crossed_factors_in_the_tree_have_the_likelihood_of_the_rows(formula, table, names):
    model, tree, rows = prepare(table, read_formula(formula))
    assert tree.engine == "nested and crossed"
    assert [level.names[0] for level in model.levels] == names
    frame = rows()
    assert [level.names[0] for level in frame.levels] == names
    rng = np.random.default_rng(0)
    scaled, unscaled = [], []
    for sizes, scale in zip(tree.block_sizes, tree.scaling.effect_scales, strict=True):
        root = rng.normal(size=(sum(sizes), sum(sizes)))
        scaled.append(root @ root.T)
        unscaled.append(root @ root.T / np.outer(scale, scale))
    found = tree.evaluate(scaled, method="reml").criterion
    assert found == pytest.approx(full_criterion(frame, unscaled), rel=1e-11)


@pytest.mark.parametrize("formula", [FOLLOWED, BOTH])
def test_tree_and_sparse_engine_agree_on_crossed_groups(formula):
    ours, sparse = (fit(followed(), formula, engine=engine) for engine in ("nested", "sparse"))
    assert ours.criterion == pytest.approx(sparse.criterion, abs=1e-7)
    assert np.allclose(ours.table()["se"], sparse.table()["se"], rtol=1e-5)
    one, other = (
        each.effects().set_index(["group", "term", "level"]).sort_index() for each in (ours, sparse)
    )
    assert one.index.equals(other.index)
    assert np.allclose(one["estimate"], other["estimate"], atol=1e-4)


def test_a_slope_that_is_missing_in_a_crossed_factor_is_named():
    formula = "y ~ drug * epoch + (1 | animal) + (1 | session) + (1 | neuron)"
    model, *_ = prepare(followed(), read_formula(formula))
    assert any("(epoch | session)" in each for each in model.warnings)


def test_the_engine_and_its_reason_are_told():
    table = followed()
    reasons = {
        "y ~ x + (1|animal)": ("nested", "There is one level of groups: animal."),
        "y ~ x + (1|animal) + (1|session)": ("nested", "Groups are nested: session in animal."),
        FOLLOWED: (
            "nested and crossed",
            "Groups are nested: neuron in animal. Few are crossed with them: session inside animal.",
        ),
    }
    for formula, (engine, reason) in reasons.items():
        model, deviance, _ = prepare(table, read_formula(formula))
        assert (deviance.engine, model.engine_reason) == (engine, reason)


def test_published_crossed_set():
    answer = PENICILLIN["reml"]
    found = fit(pd.DataFrame(PENICILLIN["data"]), answer["formula"])
    assert found.info["engine"] == "nested and crossed"
    assert found.criterion == pytest.approx(answer["criterion"], rel=1e-10)


def test_other_tables_give_the_same_fit(tmp_path):
    table = nested(followed())
    formula = "log(y + 30) ~ drug * x + (1 | animal) + (1 | session)"
    plain = fit(table, formula, where="epoch == 0 or a > 1").as_dict()
    table.to_parquet(tmp_path / "t.parquet")
    table.to_csv(tmp_path / "t.csv", index=False)
    for other in (
        pa.Table.from_pandas(table),
        tmp_path / "t.parquet",
        str(tmp_path / "t.csv"),
        ArrowOnly(table),
    ):
        found = fit(other, formula, where="epoch == 0 or a > 1").as_dict()
        assert found["criterion"] == pytest.approx(plain["criterion"], rel=1e-12)
        assert [each["term"] for each in found["fixed"]] == [each["term"] for each in plain["fixed"]]
        assert found["n"] == plain["n"]


class ArrowOnly:
    """A table that speaks Arrow and nothing else, as polars does."""

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = pa.Table.from_pandas(table)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def test_only_the_columns_of_the_model_are_read(tmp_path, monkeypatch):
    table = nested(followed())
    table.to_parquet(tmp_path / "t.parquet")
    asked = []
    original = pd.read_parquet

    def watched(path, **options):
        asked.append(set(options["columns"]))
        return original(path, **options)

    monkeypatch.setattr(pd, "read_parquet", watched)
    prepare(tmp_path / "t.parquet", read_formula("y ~ drug + (1|animal)"), where="epoch > 0")
    assert asked == [{"y", "drug", "animal", "epoch"}]


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(TypeError, match="DataFrame"):
        prepare([1, 2], read_formula("y ~ x + (1|animal)"))
    with pytest.raises(InputFileError, match="no such table"):
        prepare(tmp_path / "none.parquet", read_formula("y ~ x + (1|animal)"))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(InputFileError, match="cannot be read"):
        prepare(tmp_path / "bad.parquet", read_formula("y ~ x + (1|animal)"))
    with pytest.raises(FormulaError, match="'nothing'"):
        prepare(pa.Table.from_pandas(followed()), read_formula("y ~ nothing + (1|animal)"))


def test_rows_are_made_when_asked_and_only_once():
    table = nested(followed())
    _, _, rows = prepare(table, read_formula("y ~ drug + (1|animal) + (1|session)"))
    assert rows() is rows()
    assert rows().n_rows == len(table)


def test_summaries_are_a_kind_of_data():
    table, formula = nested(followed()), read_formula("y ~ drug + (1|animal) + (1|session)")
    summaries = summarise_rows(table, formula)
    model, deviance, rows = prepare(summaries, formula)
    assert rows is None
    assert model.n_rows == deviance.n_rows == len(table)
    with pytest.raises(ValueError, match="where is given when rows are summarised"):
        prepare(summaries, formula, where="x > 0")


def test_many_crossed_groups_are_left_to_the_sparse_engine_weights_too():
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"y": rng.normal(size=2000), "w": 2.0, "g": np.arange(2000) % 100})
    table["h"] = rng.integers(0, 90, 2000)
    _, weighted, _ = prepare(table, read_formula("y ~ 1 + (1|g) + (1|h)"), weights="w")
    assert weighted.engine == "sparse"
    psi = [np.array([[0.25]]), np.array([[0.0]])]
    model, deviance, _ = prepare(table, read_formula("y ~ 1 + (1|g) + (1|h)"))
    assert deviance.engine == "sparse"
    assert model.engine_reason == "Groups are crossed: g, h."
    # Weights of 2 halve sigma^2 and with it, relative to it, double Psi; the likelihood is the same.
    halved = [each / 2.0 for each in psi]
    same = deviance.evaluate(psi, method="ml").criterion
    assert weighted.evaluate(halved, method="ml").criterion == pytest.approx(same, rel=1e-12)


@pytest.mark.parametrize("engine", ["nested", "sparse"])
def test_missing_values_are_told_by_column(engine):
    table = nested(followed())
    table.loc[[1, 2, 3], "x"] = np.nan
    table.loc[[3, 4], "y"] = np.nan
    found = fit(table, "y ~ x + (1|animal) + (1|session)", engine=engine)
    assert found.info["missing"] == {"y": 2, "x": 3}
    assert found.info["n_missing"] == 4


@pytest.mark.parametrize("kind", ["csv", "parquet", "arrow"])
def test_a_column_that_is_not_there_is_named_with_the_nearest(tmp_path: Path, kind: str) -> None:
    import pyarrow as pa

    rows = pd.DataFrame({"rate": [1.0, 2.0, 4.0, 3.0], "animal": list("aabb"), "window": list("xyxy")})
    file = tmp_path / f"t.{kind}"
    if kind == "csv":
        rows.to_csv(file, index=False)
    elif kind == "parquet":
        rows.to_parquet(file)
    data = pa.Table.from_pandas(rows) if kind == "arrow" else file
    with pytest.raises(FormulaError, match="no column 'windw'. Did you mean 'window'"):
        prepare(data, read_formula("rate ~ windw + (1 | animal)"))
