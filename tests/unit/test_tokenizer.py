"Texts as tokens: order, length, padding."

import pytest

from ftkit.data import load_data
from ftkit.tokenizer import load_tokenizer, padding_share, pooled_position, tokenize


def test_tokenize_keeps_order_and_truncates(tiny):
    data, _ = load_data(max_train_samples=50, max_eval_samples=20, max_predict_samples=20)
    tokenizer = load_tokenizer(tiny)
    tokens = tokenize(data, tokenizer, max_seq_length=10)
    assert (
        tokens["train"]["labels"][:] == data["train"]["label"][:] and max(map(len, tokens["train"]["input_ids"])) == 10
    )
    assert tokens["train"]["length"][:] == [len(i) for i in tokens["train"]["input_ids"]]
    padded = tokenize(data, tokenizer, max_seq_length=10, pad_to_max_length=True)
    assert (
        set(map(len, padded["train"]["input_ids"])) == {10}
        and padded["train"]["length"][:] == tokens["train"]["length"][:]
    )


def test_padding_share_and_pooled_position():
    assert padding_share([1, 3, 2, 2], 2) == pytest.approx(2 / 10)
    assert padding_share([1, 3, 2, 2], 2, pad_to=4) == pytest.approx(8 / 16)
    assert pooled_position([5, 6, 7, 0, 0], 0) == 2 and pooled_position([5, 6, 7, 0, 0], None) == 4
