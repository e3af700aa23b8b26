"The base model: facts without its weights."

import pytest
from transformers import GPT2Config

from ftkit.errors import UserError
from ftkit.model import is_causal, load_config, model_facts


def test_model_facts_need_no_weights(tmp_path, tiny):
    GPT2Config().save_pretrained(tmp_path)
    facts = model_facts(str(tmp_path))
    assert facts.parameters == 124_439_808 and facts.causal and facts.context == 1024 and facts.license == "unknown"
    assert (
        not is_causal(load_config("starter"))
        and is_causal(load_config(tiny))
        and model_facts("starter").license == "apache-2.0"
    )
    with pytest.raises(UserError, match="no model can be loaded from there"):
        model_facts(str(tmp_path / "nowhere"))
