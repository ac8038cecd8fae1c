import dataclasses
import json

import numpy as np
import pytest
from click.testing import CliRunner

from nwbswitch.analysis.power.design_file import EXAMPLE, PowerDesign
from nwbswitch.analysis.power.experiment import checked_formula
from nwbswitch.analysis.power.power import power
from nwbswitch.analysis.power.power_result import proportion_interval
from nwbswitch.cli import commands
from nwbswitch.schemas.errors import ExistingOutputError, FormulaError, InputFileError

COMPONENTS = {
    "animal_intercept_sd": 0.4,
    "animal_slope_sd": 0.25,
    "animal_correlation": 0.3,
    "session_intercept_sd": 0.2,
    "session_slope_sd": 0.15,
    "neuron_sd": 0.8,
    "residual_sd": 0.6,
}


def design(**changed) -> PowerDesign:
    values = {
        "kind": "between",
        "animals_per_arm": 6,
        "sessions_per_animal": 2,
        "neurons_per_session": 200,
        "effect": 0.4,
        "components": COMPONENTS,
        "simulations": 100,
    }
    return PowerDesign(**{**values, **changed})


SMALL = {"effect": 0.6, "simulations": 25}


@pytest.fixture(scope="module")
def swept():
    return power(design(animals_per_arm=[3, 12], neurons_per_session=[20, 200], **SMALL), quiet=True)


def test_simulated_power_is_that_of_the_t_test():
    # Balanced: Kenward-Roger is the t test of the animals' means, up to variances at zero. 5 SE of 100.
    result = power(design(), quiet=True)
    (point,) = result.points
    assert point.analytic == pytest.approx(0.624, abs=1e-3)
    assert point.power == pytest.approx(point.analytic, abs=5 * np.sqrt(0.624 * 0.376 / 100))
    assert point.ci_low < point.power < point.ci_high
    assert point.failed == 0


def test_without_an_effect_a_crossover_rejects_as_often_as_it_should_and_the_guard_speaks():
    components = {**COMPONENTS, "animal_response_sd": 0.25}
    wanted = {
        "kind": "crossover",
        "simulations": 40,
        "sessions_per_animal": 4,
        "effect": 0.0,
        "components": components,
    }
    kept = power(design(**wanted), quiet=True)
    assert kept.warnings == ()
    assert kept.points[0].power <= 0.05 + 5 * np.sqrt(0.05 * 0.95 / 40)
    minimal = "y ~ drug * epoch + (1 + epoch | animal) + (1 | session) + (1 | neuron)"
    left_out = power(design(**wanted, formula=minimal), quiet=True)
    assert left_out.points[0].power > 0.33  # 0.70 in long simulations, less 5 SE of 40
    assert any("no random slope (drug:epoch | animal)" in each for each in left_out.warnings)
    assert "(1 + epoch + drug:epoch | animal) + (1 + epoch | session)" in left_out.warnings[-1]


def test_the_smallest_designs_are_told(swept):
    assert [each.size for each in swept.points] == [(3, 2, 20), (3, 2, 200), (12, 2, 20), (12, 2, 200)]
    assert [each.size for each in swept.smallest] == [(12, 2, 20)]
    assert swept.points[0].power < 0.8 < swept.points[2].power
    text = swept.summary()
    assert "Smallest designs that reach power 0.8\n  12 animals per arm, 2 sessions, 20 neurons" in text
    assert "Add animals first" in text
    table = swept.table()
    assert list(table["animals_per_arm"]) == [3, 3, 12, 12]
    assert list(table["n_sessions"]) == [12, 12, 48, 48]


def test_no_design_may_reach_the_target():
    result = power(design(animals_per_arm=3, simulations=20, target_power=0.99), quiet=True)
    assert result.smallest == ()
    assert "No design reaches power 0.99" in result.summary()


def test_the_same_seed_gives_the_same_numbers_however_many_workers():
    asked = design(animals_per_arm=[3, 4], neurons_per_session=20, simulations=20)
    assert power(asked, quiet=True, workers=2) == power(asked, quiet=True)
    one, other = (power(design(simulations=20, seed=seed), quiet=True).points for seed in (2, 3))
    assert one != other


def test_the_json_gives_the_result_back(swept, tmp_path):
    value = json.loads(json.dumps(swept.as_dict()))
    assert type(swept).from_dict(value, path=tmp_path) == swept
    assert len(value["designs"]) == 4
    assert value["smallest"][0]["animals_per_arm"] == 12
    assert value["info"]["seed"] == 1
    with pytest.raises(InputFileError, match="no result of power"):
        type(swept).from_dict({"info": {}}, path=tmp_path)


def test_unequal_sessions_and_many_windows_are_simulated():
    neurons = {"mean": 40, "sd": 25, "minimum": 5}
    result = power(
        design(
            neurons_per_session=neurons, windows=3, rows_per_window=2, simulations=20, ddf="satterthwaite"
        ),
        quiet=True,
    )
    assert 0.0 < result.points[0].power < 1.0
    assert "40 (SD 25)" in result.summary()


def pilot(tmp_path):
    value = {
        "random": [
            {"group": "neuron", "term": "(Intercept)", "sd": 0.8},
            {"group": "session", "term": "(Intercept)", "sd": 0.2},
            {"group": "animal", "term": "(Intercept)", "sd": 0.4},
            {"group": "animal", "term": "epoch", "sd": 0.25},
            {"group": "Residual", "term": "", "sd": 0.6},
        ],
        "info": {"groups": {"neuron": 600, "session": 12, "animal": 6}},
    }
    file = tmp_path / "pilot.json"
    file.write_text(json.dumps(value))
    return file


def test_a_pilot_is_used_with_a_warning_of_its_few_animals(tmp_path):
    result = power(design(components={"from_fit": pilot(tmp_path)}, simulations=20), quiet=True)
    assert result.components.animal_slope_sd == 0.25
    (warning,) = result.warnings
    assert "comes from 6 animals" in warning
    assert "from 0.156 to 0.613" in warning
    stated = {"from_fit": pilot(tmp_path), "animal_slope_sd": 0.3}
    assert power(design(components=stated, simulations=20), quiet=True).warnings == ()


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("rate ~ drug * epoch + (1 | neuron)", "response 'rate'"),
        ("y ~ drug * epoch * sex + (1 | neuron)", "variable 'sex'"),
        ("y ~ drug * epoch + (1 | litter) + (1 | neuron)", "group 'litter'"),
        ("y ~ drug * epoch + (1 | animal/session) + (1 | neuron)", "group 'session:animal'"),
        ("y ~ drug + epoch + (1 | neuron)", "lacks drug:epoch"),
        ("y ~ drug * epoch + (1 | animal)", r"\(1 \| neuron\)"),
        ("y ~ drug * epoch + (1 + drug | neuron)", r"\(1 \| neuron\)"),
        ("y ~ drug * epoch + (0 + epoch | neuron)", "one bar of neuron"),
        ("y ~ drug * epoch + (epoch || neuron)", "one bar of neuron"),
    ],
)
def test_a_formula_of_what_experiments_do_not_have_is_refused(formula, said):
    with pytest.raises(FormulaError, match=said):
        checked_formula(formula)
    with pytest.raises(FormulaError, match=said):
        power(design(formula=formula), quiet=True)


def test_the_interval_of_a_share_is_wilsons():
    # Newcombe 1998, Statistics in Medicine 17:857, table I: 81 of 263.
    assert proportion_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert proportion_interval(0, 20)[0] == 0.0
    assert proportion_interval(20, 20)[1] == 1.0


def test_the_command_prints_an_example_and_runs_it(tmp_path):
    runner = CliRunner()
    example = runner.invoke(commands, ["power", "--example"])
    assert example.exit_code == 0
    assert example.stdout == EXAMPLE
    file, out = tmp_path / "design.yaml", tmp_path / "power.json"
    short = EXAMPLE.replace("1000", "20").replace("[4, 6, 8, 12]", "4").replace("[20, 200]", "20")
    file.write_text(short)
    done = runner.invoke(commands, ["power", str(file), "-o", str(out), "--json"])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert len(printed["designs"]) == 2
    held = json.loads(out.read_text())
    assert held["provenance"]["command"] == "power"
    assert held["designs"] == printed["designs"]
    before = out.stat().st_mtime_ns
    again = runner.invoke(commands, ["power", str(file), "-o", str(out)])
    assert again.exit_code == 0
    assert "power 1/" not in again.stderr
    assert out.stat().st_mtime_ns == before
    assert again.stdout.startswith("Power of a comparison between animals")
    file.write_text(short.replace("seed: 1", "seed: 2"))
    refused = runner.invoke(commands, ["power", str(file), "-o", str(out)])
    assert isinstance(refused.exception, ExistingOutputError)
    assert runner.invoke(commands, ["power", str(file), "-o", str(out), "--overwrite"]).exit_code == 0


def test_results_are_frozen(swept):
    with pytest.raises(dataclasses.FrozenInstanceError):
        swept.alpha = 1.0
