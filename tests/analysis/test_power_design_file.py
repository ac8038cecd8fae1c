import math

import pytest
from pydantic import ValidationError

from nwbswitch.analysis.power.components import Components
from nwbswitch.analysis.power.design_file import EXAMPLE, PowerDesign, load_design
from nwbswitch.schemas.errors import StudyError

STATED = {"residual_sd": 0.6}


def written(tmp_path, text):
    file = tmp_path / "design.yaml"
    file.write_text(text)
    return file


def test_the_example_is_a_design(tmp_path):
    design = load_design(written(tmp_path, EXAMPLE))
    assert design.kind == "between"
    assert design.delta == 0.4
    assert len(design.layouts()) == 4 * 2 * 2
    assert design.layouts()[0].animals == 4
    assert design.components.resolved().components == Components(
        animal_intercept_sd=0.4,
        animal_slope_sd=0.25,
        animal_correlation=0.3,
        session_intercept_sd=0.2,
        session_slope_sd=0.15,
        neuron_sd=0.8,
        residual_sd=0.6,
    )


def test_single_numbers_and_distributions_are_read(tmp_path):
    text = (
        "kind: crossover\nanimals_per_arm: 6\nsessions_per_animal: 4\n"
        "neurons_per_session: {mean: 200, sd: 80, minimum: 20}\neffect_ratio: 2\noutcome: log2\n"
        "components: {residual_sd: 1}\n"
    )
    design = load_design(written(tmp_path, text))
    assert design.delta == 1.0
    (layout,) = design.layouts()
    assert (layout.animals, layout.sessions, layout.neurons.sd) == (6, 4, 80.0)
    assert "drug:epoch | animal" in design.model


def test_the_ratio_is_a_difference_of_logarithms():
    design = PowerDesign(
        kind="between",
        animals_per_arm=6,
        neurons_per_session=50,
        effect_ratio=1.5,
        outcome="log",
        components=STATED,
    )
    assert design.delta == pytest.approx(math.log(1.5))


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("kind: between", "kind: betwen", 2, "Did you mean 'between'"),
        ("animals_per_arm: [4, 6, 8, 12]", "animals_per_arm: [4, 1]", 3, "animals_per_arm[2]"),
        ("animals_per_arm: [4, 6, 8, 12]", "animals_per_arm: []", 3, "animals_per_arm"),
        ("neurons_per_session: [20, 200]", "neurons_per_session: [20, many]", 5, "expected a number"),
        ("neurons_per_session: [20, 200]", "neurons_per_session: {mean: 5, sdd: 2}", 5, "Did you mean 'sd'"),
        ("neurons_per_session: [20, 200]", "neurons_per_session: {mean: 5, sd: 20}", 5, "3 times the mean"),
        ("rows_per_window: 1 ", "rows_per_window: 100000\nneurons_per_session: 1e9 #", 8, "given twice"),
        ("windows: 2 ", "windows: 0 ", 6, "greater than or equal to 2"),
        ("animal_slope_sd: 0.25", "animal_slop_sd: 0.25", 19, "Did you mean 'animal_slope_sd'"),
        ("animal_slope_sd: 0.25", "animal_slope_sd: -1", 19, "greater than or equal to 0"),
        ("animal_slope_sd: 0.25", "animal_slope_sd: nan", 19, "finite"),
        ("residual_sd: 0.6", "residual_sd: 0", 25, "greater than 0"),
        ("  residual_sd: 0.6", "", 16, "residual_sd is not given"),
        ("effect: 0.4", "", 1, "effect or effect_ratio"),
        ("effect: 0.4", "effect: 0.4\neffect_ratio: 2", 1, "not both"),
        ("effect: 0.4", "effect_ratio: 2", 1, "log or log2"),
        ("alpha: 0.05", "alpha: 5", 29, "less than 0.5"),
        ("simulations: 1000", "simulations: 1e9", 31, "whole number"),
        ("kind: between", "kind: crossover", 1, "at least 2 sessions_per_animal"),
        ("[4, 6, 8, 12]", str(list(range(2, 302))), 1, "at most 500"),
        ("[4, 6, 8, 12]", "[10000]\nsessions_per_animal: [1000]", 5, "given twice"),
        ("seed: 1", "seed: 1\nsurplus: 2", 33, "no key 'surplus'"),
        ("kind: between", "- kind", 3, "yaml"),
    ],
)
def test_mistakes_are_named_by_line_and_key(tmp_path, old, new, line, said):
    assert EXAMPLE.count(old) == 1
    file = written(tmp_path, EXAMPLE.replace(old, new))
    with pytest.raises(StudyError) as caught:
        load_design(file)
    text = str(caught.value)
    assert f"{file}:{line}" in text
    assert said in text


@pytest.mark.parametrize("text", ["", "- a\n", "word\n"])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    with pytest.raises(StudyError, match="--example"):
        load_design(written(tmp_path, text))


def test_a_design_too_large_to_simulate_is_refused():
    with pytest.raises(ValidationError, match="at most 100000"):
        PowerDesign(
            kind="between",
            animals_per_arm=10_000,
            sessions_per_animal=1000,
            neurons_per_session=20,
            effect=1,
            components=STATED,
        )


def test_more_rows_than_can_be_counted_are_refused():
    with pytest.raises(ValidationError, match="rows"):
        PowerDesign(
            kind="between",
            animals_per_arm=10,
            neurons_per_session=1e9,
            windows=50,
            rows_per_window=100_000,
            effect=1,
            components=STATED,
        )


def test_a_pilot_lies_beside_its_design(tmp_path):
    text = EXAMPLE.replace("  # from_fit: pilot.json ", "  from_fit: pilot.json ")
    design = load_design(written(tmp_path, text))
    assert design.components.from_fit == tmp_path / "pilot.json"
