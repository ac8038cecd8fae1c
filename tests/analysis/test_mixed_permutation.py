"""Permutation over animals: against brute force, and never below what the number of animals supports."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from dense_deviance import dense_model, model_of
from row_tree import deviance_function

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.model_frame import model_frame
from nwbswitch.analysis.resampling.arrangements import all_deals, n_deals
from nwbswitch.analysis.resampling.permutation import permutation_interval, permutation_test
from nwbswitch.analysis.resampling.permutation_result import PermutationTest
from nwbswitch.schemas.errors import FitError


def study(
    arms: list[str], *, seed: int, effect: float = 0.0, sessions: int = 2, neurons: int = 4, **columns: list
) -> pd.DataFrame:
    """Animals with one arm each, two epochs per neuron, and further columns of the animals."""
    rng = np.random.default_rng(seed)
    rows = []
    for animal, arm in enumerate(arms):
        level, slope = rng.normal(size=2) * [0.4, 0.25]
        for session in range(sessions):
            place = level + 0.2 * rng.normal()
            for neuron in range(neurons + int(rng.integers(3))):
                own = place + 0.8 * rng.normal()
                for epoch in (0, 1):
                    y = 5.0 + own + epoch * (0.3 + slope + effect * (arm != arms[0])) + 0.6 * rng.normal()
                    rows.append(
                        (
                            f"a{animal:02}",
                            f"a{animal:02}s{session}",
                            f"{animal}.{session}.{neuron}",
                            arm,
                            epoch,
                            y,
                        )
                    )
    table = pd.DataFrame(rows, columns=["animal", "session", "neuron", "arm", "epoch", "y"])
    for name, values in columns.items():
        table[name] = [values[int(each[1:])] for each in table["animal"]]
    return table


def permuted(data: pd.DataFrame, formula: str, what: str | np.ndarray, **options: object) -> PermutationTest:
    frame = model_frame(data, read_formula(formula))
    tree = deviance_function(frame)
    return permutation_test(model_of(frame), tree, what, **options)


MODEL = "y ~ arm * epoch + (1 + epoch | animal) + (1 | session) + (1 | neuron)"
ARMS = ["ket", "sal"] * 3


def animal_changes(data: pd.DataFrame) -> pd.Series:
    means = data.groupby(["animal", "epoch"])["y"].mean().unstack()
    return means[1] - means[0]


def two_sample_p(values: np.ndarray, first: np.ndarray) -> float:
    """Brute force: the share of all splits whose difference of means is at least as large."""
    n = len(values)
    observed = abs(values[first].mean() - values[~first].mean())
    found = []
    for chosen in itertools.combinations(range(n), int(first.sum())):
        mask = np.isin(np.arange(n), chosen)
        found.append(abs(values[mask].mean() - values[~mask].mean()))
    return float(np.mean(np.array(found) >= observed * (1.0 - 1e-9)))


def test_between_animals_is_brute_force_over_all_splits():
    data = study(ARMS, seed=1, effect=0.4)
    found = permuted(data, MODEL, "arm:epoch", weights="rows")
    changes = animal_changes(data)
    first = np.array(ARMS) == "ket"
    assert found.kind == "between"
    assert found.exact
    assert found.enumerated
    assert found.n_arrangements == 20
    assert found.values[:, 0] == pytest.approx(changes.to_numpy(), rel=1e-9)
    assert found.estimates[0] == pytest.approx(changes[~first].mean() - changes[first].mean())
    assert found.p == pytest.approx(two_sample_p(changes.to_numpy(), first))
    assert found.smallest_p == pytest.approx(0.1)
    assert any("no P below 0.1" in note for note in found.notes)


def test_levels_are_those_of_animals_at_the_first_epoch():
    data = study(["ket"] * 4 + ["sal"] * 4, seed=2)
    found = permuted(data, MODEL, "armsal", weights="rows")
    means = data[data["epoch"] == 0].groupby("animal")["y"].mean().to_numpy()
    first = np.arange(8) < 4
    assert found.values[:, 0] == pytest.approx(means)
    assert found.p == pytest.approx(two_sample_p(means, first))
    assert found.smallest_p == pytest.approx(2.0 / 70.0)


def test_contrast_over_two_numbers_of_an_animal():
    # The arms' difference at the mean of both epochs: level plus half of the change.
    data = study(["ket"] * 4 + ["sal"] * 3, seed=3)
    frame = model_frame(data, read_formula(MODEL))
    contrast = np.array([0.0, 1.0, 0.0, 0.5])
    assert frame.fixed.names == ("(Intercept)", "armsal", "epoch", "armsal:epoch")
    found = permuted(data, MODEL, contrast, weights="rows")
    means = data.groupby(["animal", "epoch"])["y"].mean().unstack().mean(axis=1).to_numpy()
    # The t of a joint contrast differs from that of the mean only in its covariance, which is the same here.
    assert found.estimates[0] == pytest.approx(means[4:].mean() - means[:4].mean())
    assert found.p == pytest.approx(two_sample_p(means, np.arange(7) < 4))


def test_weights_of_the_model_do_not_depend_on_labels():
    data = study(["ket"] * 3 + ["sal"] * 3, seed=4)
    found = permuted(data, MODEL, "arm:epoch")
    assert found.weights == "model"
    relabelled = data.assign(
        arm=data["animal"].map(dict(zip(sorted(set(data["animal"])), ARMS, strict=True)))
    )
    other = permuted(relabelled, MODEL, "arm:epoch")
    # The numbers of the animals are the same under other labels: that is what makes the test exact.
    assert other.values == pytest.approx(found.values, rel=1e-5)


def test_strata_keep_other_effects_in_place():
    sex = ["f", "m"] * 4
    data = study(["ket", "ket", "sal", "sal"] * 2, seed=5, sex=sex)
    found = permuted(
        data, "y ~ arm * epoch + sex + (1 | animal) + (1 | neuron)", "arm", weights="rows", nuisance="strata"
    )
    assert found.n_arrangements == 36
    assert found.exact
    assert len(set(found.strata)) == 2
    values, first = found.values[:, 0], np.array(["ket", "ket", "sal", "sal"] * 2) == "sal"
    design = np.column_stack([np.ones(8), first, np.array(sex) == "m"]).astype(float)
    shares = []
    for f in itertools.combinations([0, 2, 4, 6], 2):
        for m in itertools.combinations([1, 3, 5, 7], 2):
            design[:, 1] = np.isin(np.arange(8), f + m)
            fit, rest = np.linalg.lstsq(design, values, rcond=None)[:2]
            se = np.sqrt(rest[0] / 5 * np.linalg.inv(design.T @ design)[1, 1])
            shares.append((tuple(design[:, 1]), abs(fit[1] / se)))
    own = dict(shares)[tuple(first.astype(float))]
    assert found.statistic == pytest.approx(own**2)
    assert found.p == pytest.approx(np.mean([each >= own * (1 - 1e-9) for _, each in shares]))


def test_one_pair_of_three_arms_leaves_the_third_in_place():
    data = study(["ket", "psi", "sal"] * 4, seed=6, neurons=2)
    names = model_frame(data, read_formula(MODEL)).fixed.names
    assert names[1:3] == ("armpsi", "armsal")
    contrast = np.zeros(len(names))
    contrast[[1, 2]] = 1.0, -1.0
    found = permuted(data, MODEL, contrast)
    assert found.n_arrangements == 70
    assert found.exact
    joint = permuted(data, MODEL, "arm")
    assert joint.tested == ("armpsi", "armsal")
    # 12! / (4! 4! 4!) ways are too many: 20,000 of them are sampled.
    assert not joint.enumerated
    assert joint.p >= 1.0 / 20_001


def test_a_covariate_that_differs_everywhere_deals_residuals():
    data = study(["ket", "sal"] * 5, seed=7, neurons=2, age=[float(i) for i in range(10)])
    found = permuted(data, "y ~ arm + age + (1 | animal) + (1 | neuron)", "arm", max_arrangements=999, seed=1)
    assert not found.exact
    assert found.n_arrangements == 999
    assert any("Residuals" in note for note in found.notes)
    assert found.p >= 1.0 / 1000.0
    again = permuted(data, "y ~ arm + age + (1 | animal) + (1 | neuron)", "arm", max_arrangements=999, seed=1)
    assert again.p == found.p
    strata = permuted(data, "y ~ arm + age + (1 | animal) + (1 | neuron)", "arm", nuisance="strata")
    assert np.isnan(strata.p)
    assert "one arrangement only" in strata.notes[-1]


def crossover(n_animals: int, *, seed: int, effect: float = 0.0) -> pd.DataFrame:
    data = study(["x"] * n_animals, seed=seed, sessions=4, neurons=3).drop(columns="arm")
    session = data["session"].str[-1].astype(int)
    data["drug"] = np.where(session % 2 == 0, "no", "yes")
    data["y"] += effect * data["epoch"] * (session % 2)
    return data


CROSSED = "y ~ drug * epoch + (1 + epoch + drug:epoch | animal) + (1 + epoch | session)"


def test_within_animals_is_brute_force_over_all_flips():
    data = crossover(6, seed=8, effect=0.6)
    found = permuted(data, CROSSED, "drug:epoch", weights="rows")
    cells = data.groupby(["animal", "drug", "epoch"])["y"].mean().unstack()
    changes = (cells[1] - cells[0]).unstack()
    contrast = (changes["yes"] - changes["no"]).to_numpy()
    assert found.kind == "within"
    assert found.values[:, 0] == pytest.approx(contrast, rel=1e-9)
    assert found.n_arrangements == 64
    sums = [abs(np.dot(signs, contrast)) for signs in itertools.product([1.0, -1.0], repeat=6)]
    assert found.p == pytest.approx(np.mean(np.array(sums) >= abs(contrast.sum()) * (1 - 1e-9)))
    assert found.smallest_p == pytest.approx(2.0 / 64.0)
    assert found.statistic == pytest.approx(contrast.mean() ** 2 / (contrast.var(ddof=1) / 6))


def test_weights_within_are_free_of_the_label_or_of_the_model():
    # No inner random term holds the drug, so weights are the model's; swapping labels in an animal only
    # turns its sign.
    data = crossover(5, seed=9)
    found = permuted(data, CROSSED, "drug:epoch")
    assert found.weights == "model"
    swapped = data.copy()
    own = swapped["animal"] == "a02"
    swapped.loc[own, "drug"] = swapped.loc[own, "drug"].map({"no": "yes", "yes": "no"})
    other = permuted(swapped, CROSSED, "drug:epoch")
    turned = np.where(np.array(found.labels) == "a02", -1.0, 1.0) * found.values[:, 0]
    assert other.values[:, 0] == pytest.approx(turned, rel=1e-4)
    # A slope of the tested variable inside animals makes rows weigh the same.
    inside = permuted(data, "y ~ epoch + (1 | animal) + (epoch | session)", "epoch")
    assert inside.weights == "rows"
    assert "Rows weigh the same" in inside.notes[0]


def test_animals_without_the_effect_are_named():
    data = crossover(6, seed=10)
    data = data[~((data["animal"] == "a03") & (data["drug"] == "yes"))]
    found = permuted(data, CROSSED, "drug")
    assert found.left_out == ("a03",)
    assert len(found.labels) == 5
    assert "left out" in found.notes[-1]


def test_a_null_value_shifts_the_test():
    data = crossover(7, seed=11)
    at_zero = permuted(data, CROSSED, "drug:epoch")
    at_estimate = permuted(data, CROSSED, "drug:epoch", null=float(at_zero.estimates[0]))
    assert at_estimate.p == pytest.approx(1.0)
    between = study(ARMS, seed=12)
    shifted = permuted(between, MODEL, "arm:epoch", null=3.0)
    moved = between.assign(y=between["y"] - 3.0 * between["epoch"] * (between["arm"] == "sal"))
    assert permuted(moved, MODEL, "arm:epoch").p == pytest.approx(shifted.p)
    assert shifted.estimates[0] == pytest.approx(permuted(between, MODEL, "arm:epoch").estimates[0])


def interval(
    data: pd.DataFrame, formula: str, what: str | np.ndarray, **options: object
) -> tuple[float, float]:
    frame = model_frame(data, read_formula(formula))
    return permutation_interval(model_of(frame), deviance_function(frame), what, **options)


def test_an_interval_holds_what_is_not_rejected():
    for data, formula, what in (
        (crossover(7, seed=16, effect=0.3), CROSSED, "drug:epoch"),
        (study(["ket"] * 4 + ["sal"] * 4, seed=17, effect=0.3), MODEL, "arm:epoch"),
    ):
        low, high = interval(data, formula, what)
        width = high - low
        for value, kept in (
            (low - 1e-3 * width, False),
            (low + 1e-3 * width, True),
            (high - 1e-3 * width, True),
        ):
            assert (permuted(data, formula, what, null=value).p > 0.05) == kept
        assert permuted(data, formula, what, null=high + 1e-3 * width).p <= 0.05


def test_the_interval_of_sign_flips_is_known():
    # Of 6 values 64 sign patterns; at 2 / 64 only the two extreme ones reject, so the 96.9 % interval goes
    # from the least to the greatest value.
    data = crossover(6, seed=18)
    found = permuted(data, CROSSED, "drug:epoch")
    low, high = interval(data, CROSSED, "drug:epoch", level=1.0 - 2.0 / 64.0)
    assert (low, high) == pytest.approx((found.values.min(), found.values.max()), abs=1e-6)


def test_too_few_animals_have_no_interval():
    data = study(ARMS, seed=19)
    assert interval(data, MODEL, "arm:epoch") == (-np.inf, np.inf)
    low, high = interval(data, MODEL, "arm:epoch", level=0.8)
    assert np.isfinite([low, high]).all()
    three = study(["ket", "psi", "sal"] * 3, seed=1)
    with pytest.raises(ValueError, match="for one contrast"):
        interval(three, MODEL, "arm")
    with pytest.raises(ValueError, match="between 0 and 1"):
        interval(data, MODEL, "arm:epoch", level=95)


@pytest.mark.parametrize(("per_arm", "least"), [(2, 1.0 / 3.0), (3, 0.1), (4, 2.0 / 70.0), (5, 2.0 / 252.0)])
def test_no_p_below_what_the_animals_support(per_arm, least):
    for seed in range(3):
        data = study(["ket"] * per_arm + ["sal"] * per_arm, seed=seed, effect=25.0, neurons=1)
        found = permuted(data, MODEL, "arm:epoch")
        assert found.p == pytest.approx(least)
        assert found.smallest_p == pytest.approx(least)


def test_type_one_error_with_four_animals_per_arm():
    # All 70 splits can come out, so at most 2 / 70 of true nulls are rejected at 5 %.
    frame = model_frame(study(["ket"] * 4 + ["sal"] * 4, seed=0, neurons=2), read_formula(MODEL))
    tree, model = deviance_function(frame), model_of(frame)
    psi = [np.array([[1.8]]), np.array([[0.1]]), np.array([[0.4, 0.08], [0.08, 0.17]])]
    # The engine's response has the offset taken out; with this all coefficients are zero.
    nothing = -tree.scaling.fixed @ tree.scaling.offset / tree.scaling.scale
    rng = np.random.default_rng(1)
    p = [permutation_test(model, tree.simulated(psi, nothing, 0.6, rng), "arm:epoch").p for _ in range(150)]
    # 150 draws at .0286: 4.3 expected, 11 or more in 1 of 200 runs.
    assert sum(each <= 0.05 for each in p) <= 11
    assert np.mean(p) == pytest.approx(0.5, abs=0.1)


def test_deals_are_all_and_distinct():
    strata, kinds = np.array([0, 0, 0, 1, 1, 1]), np.array([5, 5, 7, 7, 5, 9])
    deals = all_deals(strata, kinds)
    assert len(deals) == n_deals(strata, kinds) == 3 * 6
    assert deals[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert (np.sort(deals[:, :3], axis=1) == [0, 1, 2]).all()
    seen = {
        tuple(frozenset(row[kinds == k][strata[row[kinds == k]] == s]) for k in (5, 7, 9) for s in (0, 1))
        for row in deals
    }
    assert len(seen) == 18


def test_engine_on_rows_agrees():
    data = study(ARMS, seed=13, neurons=2)
    model, deviance = dense_model(data, "y ~ arm * epoch + (epoch | animal) + (1 | neuron)")
    tree = deviance_function(
        model_frame(data, read_formula("y ~ arm * epoch + (epoch | animal) + (1 | neuron)"))
    )
    slow = permutation_test(model, deviance, "arm:epoch")
    quick = permutation_test(model, tree, "arm:epoch")
    assert slow.values == pytest.approx(quick.values, rel=1e-6)
    assert slow.p == quick.p


def test_forms_of_the_result():
    found = permuted(study(ARMS, seed=14), MODEL, "arm:epoch")
    assert found.summary().startswith(
        "Permutation test of armsal:epoch: labels dealt anew between 6 animal, all 20"
    )
    assert list(found.clusters().columns) == ["group", "level", "stratum", "epoch"]
    assert found.table().loc[0, "n_clusters"] == 6
    assert json.loads(json.dumps(found.as_dict()))["smallest_p"] == pytest.approx(0.1)


def test_what_cannot_be_permuted_is_said():
    data = study(ARMS, seed=15)
    with pytest.raises(ValueError, match="no term or coefficient 'drug'; terms are"):
        permuted(data, MODEL, "drug")
    with pytest.raises(ValueError, match="strata, residuals"):
        permuted(data, MODEL, "arm", nuisance="none")
    with pytest.raises(ValueError, match="model, rows"):
        permuted(data, MODEL, "arm", weights="equal")
    with pytest.raises(ValueError, match="at least 100"):
        permuted(data, MODEL, "arm", max_arrangements=3)
    with pytest.raises(FitError, match="intercept and all main effects"):
        permuted(data, "y ~ 0 + arm + (1 | animal)", np.array([1.0, -1.0]))
    three = study(["ket", "psi", "sal"] * 2, seed=1)
    with pytest.raises(ValueError, match="needs one contrast"):
        permuted(three, "y ~ arm + (1 | animal)", "arm", null=1.0)
    few = study(["ket", "psi", "sal"], seed=1)
    with pytest.raises(FitError, match="too few"):
        permuted(few, "y ~ arm + (1 | animal)", "arm")
