"Texts from data in every view: what is written there is read there, and nothing of it comes alive."

import json
import re
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup, Comment

from ftkit.errors import UserError
from ftkit.fine_tuning import Run, fine_tune
from ftkit.runs.session import create_run
from ftkit.settings import Settings
from ftkit.views import console
from ftkit.views.card import write_card
from ftkit.views.charts import curve_figure
from ftkit.views.errors import error_table
from ftkit.views.html import img_tag, shorten, show_table
from ftkit.views.progress import LiveChart

pytestmark = pytest.mark.fault("HTML from data")
PAYLOADS = {
    "script": "<script>alert(1)</script>",
    "image": "<img src=x onerror=alert(1)>",
    "textarea": "</textarea><script>alert(1)</script>",
    "title": "</title></head><script>alert(1)</script>",
    "style": "</style><img src=x onerror=alert(1)>",
    "double quote": '"><b onmouseover="alert(1)" x="',
    "single quote": "'><input autofocus onfocus='alert(1)",
    "markdown link": "[click](javascript:alert(1)) ![x](https://tracker.example/x.png) <javascript:alert(1)>",
    "svg": "</td></table><svg/onload=alert(1)>",
    "terminal": "\x1b[2J\x1b]0;owned\x07\x1b[31mred\rall is well\x9b1m\x7f",
    "right to left": "report\u202efdp.exe \u2066x\u200f",
    "front matter": "x\n---\nlicense: other\n---\n<script>alert(1)</script>",
    "line break": "x\n\n<img src=x onerror=alert(1)>\n\n# heading\n[ini]\nseed = 1",
    "table": "a | b ``` `code` | **d** \\| ~~e~~ _f_\n|---|\n> quote",
    "comment": "<!-- --!> <img src=x onerror=alert(1)> --> ]]> <![CDATA[",
    "entities": "&lt;img src=x onerror=alert(1)&gt; &#60;b&#62; [x](&#106;avascript&colon;alert(1))",
    "template": "{{7*7}} ${7*7} {title} %(x)s {0.__class__} {% raw %}",
    "css": "<link rel=stylesheet href=//evil.example/x.css><div style=position:fixed;inset:0>",
    "math": r"$$\href{javascript:alert(1)}{x}$$ $\frac$ \(x\)",
    "long": "<b>" + "A" * 20_000,
}
HARMLESS = "harmless"
TAGS = set(
    "html head meta title style body main h1 h2 section p b ul li pre div table thead tbody tr th td img".split()
)
ATTRIBUTES = set("lang charset name content http-equiv class width style alt src border scoped".split())
payloads = pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)


def find_live_tags(page: str, more: set = frozenset()) -> list:
    "Tags, attributes and addresses that no view of ftkit's own makes"
    soup = BeautifulSoup(page, "html.parser")
    found = [
        t
        for t in soup.find_all()
        if t.name not in TAGS | more
        or set(t.attrs) - ATTRIBUTES - {"href"}
        or not t.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
    ]
    return found + soup.find_all(string=lambda text: isinstance(text, Comment))


def list_tags(page: str) -> list:
    "The tags of a page, with the names of their attributes"
    return [(t.name, sorted(t.attrs)) for t in BeautifulSoup(page, "html.parser").find_all()]


def join_lines(text: str) -> str:
    return " ".join(text.split())


def clean_setting(text: str) -> str:
    "What is left where line breaks and control characters are refused"
    return join_lines("".join(c for c in text if c.isspace() or unicodedata.category(c) != "Cc"))


def find_control_characters(text: str) -> list[str]:
    "Characters that a terminal would obey"
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\t"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny):
    "A run whose labels and texts are the payloads, its predictions made wrong: the table of errors holds every text"
    names = list(PAYLOADS.values())
    rows = {
        s: pd.DataFrame({"text": [f"{t} {s} {i}" for i in range(n) for t in names], "label": names * n})
        for s, n in (("train", 2), ("validation", 1), ("test", 1))
    }
    settings = Settings(
        model_name_or_path=tiny, baselines=["majority"], num_train_epochs=1, num_resamples=100, max_seq_length=32
    )
    run = fine_tune(settings, rows, tmp_path_factory.mktemp("runs"), "hostile")
    predictions = run.predictions
    wrong = (predictions.label.cat.codes + 1) % 20
    predictions["logits"] = [np.eye(20)[i].tolist() for i in wrong]
    predictions["predicted"] = pd.Categorical.from_codes(wrong, dtype=predictions.label.dtype)
    predictions.to_parquet(run.path / "predictions.parquet")
    return run


@pytest.fixture(scope="module")
def page(finished):
    return finished.report().read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def card(finished):
    return (finished.path / "model" / "README.md").read_text(encoding="utf-8")


def render_card(card: str) -> BeautifulSoup:
    "Front matter taken off, the rest as a page; HTML in Markdown is let through, as many renderers do"
    markdown_it = pytest.importorskip("markdown_it")
    body = card.split("---\n", 2)[2]
    return BeautifulSoup(
        markdown_it.MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(body),
        "html.parser",
    )


@payloads
def test_label_is_text_in_report(page, payload):
    shown = [t.get_text() for t in BeautifulSoup(page, "html.parser").find_all("td")]
    assert find_live_tags(page) == [] and shorten(payload.strip(), "\n") in shown


@payloads
def test_row_is_text_in_report(page, payload):
    shown = [t.get_text() for t in BeautifulSoup(page, "html.parser").select(".texts td:first-child")]
    assert shorten(f"{payload} validation 0", "\n") in shown


def make_failed_run(folder, text, reason) -> Run:
    "A run that failed, with a text in every setting that can hold one"
    line = clean_setting(text)
    settings = Settings(
        text_column_name=line,
        label_column_name=line,
        train_file=line,
        dataset_name=line,
        dataset_config_name=line,
        model_name_or_path=line,
        model_revision=line,
    )
    with pytest.raises(RuntimeError), create_run(settings, folder) as run:
        raise RuntimeError(reason)
    return Run(run.path)


@payloads
def test_failed_report_shows_text(tmp_path, payload):
    page, plain = [
        make_failed_run(tmp_path, text, text).report().read_text(encoding="utf-8") for text in (payload, HARMLESS)
    ]
    soup = BeautifulSoup(page, "html.parser")
    assert list_tags(page) == list_tags(plain)
    assert shorten(f"RuntimeError: {payload}".splitlines()[0]) in soup.select_one(".lead").get_text()
    assert (
        soup.pre.get_text().count(shorten(clean_setting(payload), limit=10**6)) >= 6
        and find_control_characters(page) == []
    )


def test_foreign_report_has_no_tags(finished, tmp_path):
    for name in ("settings.ini", "predictions.parquet", "log.jsonl"):
        shutil.copy(finished.path / name, tmp_path)
    texts, data = list(PAYLOADS.values()), finished.record["data"]
    strange = dict(
        machine={"device": texts[0], "precision": texts[1], "threads": texts[2]},
        versions=dict(zip(texts, texts)),
        verdicts=[{"text": t} for t in texts],
    )
    strange["data"] = data | {
        "carved": texts,
        "dropped": {t: {t: 1} for t in texts},
        "train": data["train"] | {"sha256": texts[1], "rows": texts[2]},
    }
    (tmp_path / "run.json").write_text(json.dumps(finished.record | strange), encoding="utf-8")
    page = Run(tmp_path).report().read_text(encoding="utf-8")
    assert find_live_tags(page) == [] and find_control_characters(page) == []
    assert [t.get_text() for t in BeautifulSoup(page, "html.parser").find_all("li")] == [
        shorten(t, "\n") for t in texts
    ]


@payloads
def test_folder_name_is_text(tmp_path, payload):
    run, name = make_failed_run(tmp_path, HARMLESS, HARMLESS), payload.replace("/", "")[:100]
    moved = Run(run.path.rename(tmp_path / name))
    page = moved.report().read_text(encoding="utf-8")
    assert find_live_tags(page) == [] and find_control_characters(page) == []
    assert BeautifulSoup(page, "html.parser").title.get_text() == shorten(f"Run {name}", "\n")


@payloads
def test_run_name_is_refused(tmp_path, payload):
    with pytest.raises(UserError, match="^run name ") as e:
        create_run(Settings(), tmp_path, payload)
    assert find_control_characters(str(e.value)) == [] and not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", ["text_column_name", "train_file", "model_name_or_path", "label_words", "run_name"])
@pytest.mark.parametrize("name", ["front matter", "line break", "terminal"])
def test_setting_has_no_line_break(key, name):
    value = {"x": PAYLOADS[name]} if key == "label_words" else PAYLOADS[name]
    with pytest.raises(UserError, match=key) as e:
        Settings().replace(**{key: value})
    assert find_control_characters(str(e.value)) == []


def test_report_is_self_contained(page):
    soup = BeautifulSoup(page, "html.parser")
    policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert page.index("Content-Security-Policy") < page.index("<title>") and not soup.find_all(
        ["script", "link", "iframe", "object", "embed", "base", "form"]
    )
    assert len(soup.find_all("style")) == 1 and not re.search(r"url\(|@import|https?:", soup.style.get_text())


def test_card_front_matter_is_exact(card, finished):
    assert card.startswith("---\n")
    front = yaml.safe_load(card.split("---\n", 2)[1])
    (result,) = front.pop("model-index")[0]["results"]
    assert front == {"pipeline_tag": "text-classification", "library_name": "transformers", "tags": ["ftkit"]}
    test = finished.metrics["test"]
    assert {m["type"]: (m["value"], *m["args"]["interval"]) for m in result["metrics"]} == {
        name: (score.value, score.low, score.high) for name, score in test.items() if name != "per_class"
    }
    assert json.loads((finished.path / "model/config.json").read_text())["label2id"].keys() == set(PAYLOADS.values())


@payloads
def test_label_is_text_in_card(card, payload):
    body, name = render_card(card), shorten(join_lines(payload))
    assert find_live_tags(str(body), {"a", "code"}) == [] and [a["href"] for a in body.find_all("a")] == [
        "https://github.com/ftkit/ftkit"
    ]
    assert any(t.get_text().endswith(f": {name}") for t in body.find_all("li")) and f"F1 of {name}" in [
        t.get_text() for t in body.find_all("td")
    ]


@payloads
def test_names_are_text_in_card(finished, tmp_path, payload):
    folder = tmp_path / payload.replace("/", "")[:100]
    (folder / "model").mkdir(parents=True)
    shutil.copy(finished.path / "run.json", folder)
    (folder / "settings.ini").write_text(
        finished.settings.replace(model_name_or_path=clean_setting(payload)).to_ini(), encoding="utf-8"
    )
    write_card(Run(folder), Run(folder).task)
    card = (folder / "model" / "README.md").read_text(encoding="utf-8")
    body = render_card(card)
    assert "base_model" not in yaml.safe_load(card.split("---\n", 2)[1]) and find_control_characters(card) == []
    assert find_live_tags(str(body), {"a", "code"}) == [] and len(body.find_all("a")) == 1
    assert body.h1.get_text() == shorten(join_lines(folder.name)) and len(body.find_all(["h1", "h2"])) == 5
    assert body.code.get_text() == shorten(clean_setting(payload).rsplit("/", 1)[-1]).replace("`", "'")


@pytest.mark.parametrize("name", ["nobody/no-model", "gpt2", "null", "1.0", "a-b_c/d.e"])
def test_card_base_model_is_exact(finished, tmp_path, name):
    (tmp_path / "model").mkdir()
    shutil.copy(finished.path / "run.json", tmp_path)
    (tmp_path / "settings.ini").write_text(
        finished.settings.replace(model_name_or_path=name).to_ini(), encoding="utf-8"
    )
    write_card(Run(tmp_path), Run(tmp_path).task)
    assert yaml.safe_load((tmp_path / "model" / "README.md").read_text().split("---\n", 2)[1])["base_model"] == name


@payloads
def test_values_are_text_in_table(payload):
    page, plain = [
        show_table([{text: text, "n": 1}, {text: f"{text}!", "n": 2.5}]).data for text in (payload, HARMLESS)
    ]
    assert list_tags(page) == list_tags(plain) and find_control_characters(page) == []
    assert [t.get_text() for t in BeautifulSoup(page, "html.parser").select(".t")] == [
        shorten(t, "\n") for t in (payload, payload, f"{payload}!")
    ]
    assert "mathjax_ignore" in BeautifulSoup(page, "html.parser").table["class"]


@payloads
def test_series_is_text_in_chart(payload):
    charts = []
    for name in (payload, HARMLESS):
        chart = LiveChart(10)
        chart.add_point(name, 1, 0.5)
        chart.add_point(name, 2, float("nan"))
        charts.append(chart.draw_svg())
    assert list_tags(charts[0]) == list_tags(charts[1]) and find_control_characters(charts[0]) == []
    assert BeautifulSoup(charts[0], "html.parser").find("text").get_text() == f"{shorten(payload, chr(10))} nan"


@payloads
def test_name_is_text_in_picture(payload):
    figure = curve_figure({shorten(payload, limit=60): [(1, 0.5), (2, 0.4)]}, shorten(payload, limit=60))
    tag = img_tag(figure, payload)
    assert list_tags(tag) == [("img", ["alt", "src", "style", "width"])] and BeautifulSoup(tag, "html.parser").img[
        "alt"
    ] == shorten(payload, "\n")


@payloads
def test_error_table_shows_text(finished, payload):
    table = error_table(finished)
    rows = table[table.text.str.startswith(payload)]
    assert len(rows) == 1 and find_live_tags(rows._repr_html_()) == [] and "scoped" in rows._repr_html_()


@payloads
def test_command_prints_no_control_characters(finished, tmp_path, monkeypatch, capsys, payload):
    from ftkit.cli.main import main

    name = payload.replace("/", "")[:100]
    shutil.copytree(make_failed_run(tmp_path, payload, payload).path, tmp_path / name)
    pd.DataFrame({f"a{payload}": [payload] * 4, f"b{payload}": ["x", "y"] * 2}).to_csv(tmp_path / "a.csv", index=False)
    monkeypatch.setattr(console, "quiet_libraries", lambda: None)
    monkeypatch.setattr(
        Run, "predict", lambda self, texts, progress=None: [{"label": payload, "score": 1.0}, {"error": payload}]
    )
    here = ["--runs_dir", str(tmp_path)]
    assert main(["predict", str(finished.path), payload, payload]) == 0
    assert main(["runs", *here]) == 0 and main(["runs", name, finished.path.name, *here]) in (0, 2)
    assert [
        main([*words, *here])
        for words in (
            ["predict", f"no{payload}", "x"],
            ["train", "--train_file", payload],
            ["train", "--run", payload],
        )
    ] == [2, 2, 2]
    assert (
        main([payload]) == main(["train", "--seed", payload]) == main(["train", "--model_name_or_path", payload]) == 2
    )
    assert main(["train", "--train_file", str(tmp_path / "a.csv"), *here]) == 2
    assert main(["train", f"--{payload}", *here]) == 2
    out, err = capsys.readouterr()
    forged = set(payload.splitlines()[1:]) - {""}
    assert find_control_characters(out + err) == [] and not forged & set((out + err).splitlines())


@pytest.mark.slow
def test_browser_runs_no_payload(finished, page, card, tmp_path):
    if not Path("/usr/bin/chromium").exists():
        pytest.skip("Debian's chromium is not installed")
    from playwright.sync_api import sync_playwright

    chart = LiveChart(10)
    for name in PAYLOADS.values():
        chart.series = {name: [(1, 0.5)], **{f"{name}{i}": [(1, 0.5)] for i in range(3)}}
        views = chart.draw_svg(), img_tag(curve_figure({"a": [(1, 0.5)]}), name), show_table([{name: name}]).data
        page += "".join(map(str, views))  # a Markup would escape the page
    page += error_table(finished)._repr_html_() + str(render_card(card))
    naked = re.sub(r"<meta http-equiv[^>]*>", "", page)  # without the policy that would stop a script
    assert naked != page
    (tmp_path / "naked.html").write_text(naked, encoding="utf-8")
    (tmp_path / "control.html").write_text("<img src=x onerror=alert(1)>")
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        heard = {}
        for name in ("naked.html", "control.html"):
            tab, heard[name] = browser.new_page(), []
            tab.on("dialog", lambda d, name=name: (heard[name].append("dialog"), d.dismiss()))
            tab.on(
                "request",
                lambda r, name=name: (
                    heard[name].append(r.url) if not r.url.endswith(name) and not r.url.startswith("data:") else None
                ),
            )
            tab.goto((tmp_path / name).as_uri())
            for _ in range(60):
                tab.keyboard.press("Tab")
            tab.wait_for_timeout(300)
        browser.close()
    assert heard["naked.html"] == [] and heard["control.html"] == [(tmp_path / "x").as_uri(), "dialog"]
