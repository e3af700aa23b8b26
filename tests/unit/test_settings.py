"Settings: typed, explained, refused with section, key, line and nearest name."

import math

import pytest
from conftest import ROOT

from ftkit.errors import UserError
from ftkit.settings import KEYS, OWNED, RATES, RETIRED, SECTIONS, Settings


def make_arguments(settings):
    "The section [trainer] as the Trainer gets it"
    from ftkit.trainer import training_arguments

    return training_arguments(**settings.section("trainer"))


def read_settings(tmp_path, text, base=None):
    file = tmp_path / "x.ini"
    file.write_text(text, encoding="utf-8")
    return Settings.read(file, base)


def test_settings_file_states_defaults():
    assert Settings.read(ROOT / "settings.ini") == Settings()
    first = (ROOT / "settings.ini").read_text().splitlines()[0]
    assert "pyproject.toml" in first
    assert (ROOT / "settings.ini").read_text() == Settings().to_ini(first.removeprefix("# "))


def test_every_key_is_explained():
    assert {f.metadata["section"] for f in KEYS.values()} == set(SECTIONS)
    assert all(f.metadata["help"] for f in KEYS.values())


def test_settings_survive_a_file(tmp_path):
    settings = Settings.preset(
        "gpt2-tweets",
        label_words={"a": "x y", "b": "z"},
        baselines=[],
        early_stopping_patience=2,
        adam_beta2=0.95,
        bf16=True,
    )
    assert read_settings(tmp_path, settings.to_ini()) == settings


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("[trainer]\nseed = abc", r"x\.ini, line 2: \[trainer\] seed = 'abc': expected a whole number"),
        ("[trainer]\n\nlearning_rate = -1", r"line 3: .*learning_rate = -1.0: must be above 0"),
        ("[trainer]\nlearning_rate = nan", r"must be a finite number"),
        ("[data]\ntest_size = 0.9", r"must be at most 0.5"),
        ("[data]\ntrain_fil = x.csv", r"\[data\] train_fil: this key is not known. Did you mean 'train_file'\?"),
        ("[data]\nseed = 1", r"belongs to the section \[trainer\]"),
        ("[dat]\nseed = 1", r"line 1: there is no section \[dat\]. Did you mean 'data'\?"),
        (
            "[model_init]\nmethod = lorra",
            r"'lorra': not a choice. Did you mean 'lora'\? Choices: full, lora, qlora, ia3, prompt, prefix, top_k",
        ),
        ("[trainer]\nseed = 1\nseed = 2", r"line 3: \[trainer\] seed is given twice"),
        ("seed = 1", r"line 1: a key before any section"),
        ("[trainer]\nseed", r"line 2: not a line of the form key = value"),
        ("[tokenizer]\npad_to_max_length = maybe", r"expected true or false"),
    ],
)
def test_message_names_the_line(tmp_path, text, wanted):
    with pytest.raises(UserError, match=wanted):
        read_settings(tmp_path, text)


@pytest.mark.parametrize("name", RETIRED)
def test_retired_name_is_refused(name):
    with pytest.raises(UserError, match="retired. Write"):
        Settings().replace(**{name: 1})


@pytest.mark.parametrize("name", sorted(set(OWNED) - set(KEYS)))
def test_owned_argument_is_refused(name):
    with pytest.raises(UserError, match="ftkit sets this itself; "):
        Settings().replace(**{name: 1})


def test_unreadable_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no such settings file"):
        Settings.read(tmp_path / "none.ini")
    (tmp_path / "b.ini").write_bytes(b"\xff\xfe\x00\x01\x80")
    with pytest.raises(UserError, match="cannot be read as a UTF-8"):
        Settings.read(tmp_path / "b.ini")


def test_paths_start_at_the_file(tmp_path):
    settings = read_settings(tmp_path, "[data]\ntrain_file = rows.csv")
    assert settings.train_file == str(tmp_path / "rows.csv")


def test_file_overrides_preset(tmp_path):
    settings = read_settings(tmp_path, "[trainer]\nseed = 7", Settings.preset("gpt2-tweets"))
    assert settings.seed == 7 and settings.model_name_or_path == "gpt2"
    with pytest.raises(UserError, match="Did you mean 'starter'"):
        Settings.preset("startr")


def test_settings_are_immutable():
    settings = Settings()
    other = settings.replace(seed=1, adam_beta2=0.9)
    assert settings.seed == 42 and other.seed == 1 and other.training_arguments == {"adam_beta2": 0.9}
    with pytest.raises(AttributeError):
        settings.seed = 2


@pytest.mark.parametrize("value", [True, 1.5, "1.5", None, [1], math.inf])
def test_seed_must_be_whole(value):
    with pytest.raises(UserError, match="seed"):
        Settings(seed=value)


def test_training_arguments_are_checked():
    assert make_arguments(Settings().replace(lr_scheduler_type="cosine")).lr_scheduler_type == "cosine"
    with pytest.raises(
        UserError, match="adam_beta: neither a key of ftkit nor a field of TrainingArguments. Did you mean 'adam_beta"
    ):
        make_arguments(Settings().replace(adam_beta=0.9))
    with pytest.raises(UserError, match=r"\[trainer\]: .*cosinus"):
        make_arguments(Settings().replace(lr_scheduler_type="cosinus"))


def test_dictionary_argument_survives_a_file(tmp_path):
    settings = Settings().replace(lr_scheduler_type="cosine_with_restarts", lr_scheduler_kwargs={"num_cycles": 2})
    (tmp_path / "a.ini").write_text(settings.to_ini())
    assert (
        make_arguments(Settings.read(tmp_path / "a.ini")).lr_scheduler_kwargs
        == make_arguments(settings).lr_scheduler_kwargs
        == {"num_cycles": 2}
    )


def test_ambiguous_label_words_are_refused():
    with pytest.raises(UserError, match="label_words"):
        Settings().replace(label_words={"a": "x; b: y"})


def test_learning_rate_follows_the_method():
    base = Settings()
    for method, rates in RATES.items():
        assert base.replace(method=method).learning_rate == Settings(method=method).learning_rate == rates.default
        assert rates.low <= rates.default <= rates.high
    assert base.replace(method="lora", learning_rate=2e-4).learning_rate == 2e-4
    assert Settings(learning_rate=3e-5).replace(method="lora").learning_rate == 3e-5
    assert base.replace(method="head").replace(method="full") == base


def test_written_rate_follows_an_edit_unless_it_is_a_record():
    text = Settings().to_ini()
    assert "learning_rate = auto" in text and "learning_rate = 0.0002" in Settings().to_ini(record=True)
    assert "learning_rate = 3e-05" in Settings(learning_rate=3e-5).to_ini()


def test_edited_method_brings_its_rate(tmp_path):
    edited = Settings().to_ini().replace("method = full", "method = lora").split("\n", 1)[1]
    assert read_settings(tmp_path, edited).learning_rate == RATES["lora"].default
