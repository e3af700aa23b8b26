"The starter experiment, exactly as `make run` does it."

from ftkit.fine_tuning import fine_tune
from ftkit.settings import Settings


def test_the_fine_tuned_starter_is_significantly_above_tfidf_on_the_test_rows(tmp_path):
    run = fine_tune(Settings(baselines=["majority", "tfidf"]), runs_dir=tmp_path)
    verdict = run.verdicts[1]
    assert verdict["b"] == "tfidf" and verdict["low"] > 0 and verdict["p"] < 0.01
    assert run.metrics["test"]["accuracy"].low > run.baselines["tfidf"]["accuracy"].value
