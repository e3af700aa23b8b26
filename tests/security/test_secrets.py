"Secrets that lie about while ftkit works: none of them is found in what it writes or prints."

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import small_rows, write_csv

pytestmark = pytest.mark.fault("secrets")
CANARIES = {
    "HF_TOKEN": "hf_"
    + "CanaryInTheEnvironment01",  # put together here: a scanner of this repository need not stop at it
    "WANDB_API_KEY": "ca11ab1e" * 5,
    "hub_token": "hf_" + "CanaryAsAnArgument02",
    "netrc": "canaryInNetrc03",
    "dotenv": "canaryInDotenv04",
    "endpoint": "canaryInTheEndpoint05",
    "url": "canaryInAnAddress06",
}
URL = f"https://user:{CANARIES['url']}@data.example/rows.csv"
ROUTES = ("train", "crash", "refused", "evaluate", "predict", "report", "runs")
DRIVER = """
import json, os, sys, time
from ftkit import trainer
from ftkit.cli.main import main
from ftkit.fine_tuning import Run

def fail(*args):
    "Raise what a library raises when the Hub refuses"
    try:
        from huggingface_hub import HfApi
        HfApi().whoami(token=os.environ["HF_TOKEN"])
    except Exception as e:
        e.add_note("headers: Authorization: Bearer " + os.environ["HF_TOKEN"])
        keys = f"token {os.environ['HF_TOKEN']}, key {os.environ['WANDB_API_KEY']}"
        raise RuntimeError(f"401 for url {os.environ['HF_ENDPOINT']}api/x, {keys}") from e

time.sleep = lambda seconds, sleep=time.sleep: sleep(min(seconds, 0.01))  # the Hub is asked five times
for route, commands in json.load(sys.stdin).items():
    print(f"=== {route}")
    trainer.train, before = fail if route == "crash" else trainer.train, trainer.train
    for command in commands:
        print(f"exit code {main(command)}")
    if route == "report":
        print(Run.load("done").report(), Run.load("done"))
    trainer.train = before
"""


def contains(canary: str, data: bytes) -> bool:
    "Is it there, as it is or as HTTP sends it? Base64 of user:canary is looked for as well"
    return any(
        form in data
        for form in (canary.encode(), base64.b64encode(f"user:{canary}".encode()), canary.encode("utf-16-le"))
    )


def read_written(folder: Path) -> dict[str, bytes]:
    "Every file but those in which the canaries were put"
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name not in (".netrc", ".env", "given.ini")
    }


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    "A home and a working folder with canaries, and the environment of a process there"
    base = tmp_path_factory.mktemp("secrets")
    (base / "home").mkdir()
    (base / "work").mkdir()
    (base / "home/.netrc").write_text(
        "".join(
            f"machine {host} login user password {CANARIES['netrc']}\n" for host in ("127.0.0.1", "huggingface.co")
        )
    )
    (base / "home/.netrc").chmod(0o600)
    (base / "work/.env").write_text(f"HF_TOKEN={CANARIES['dotenv']}\nOPENAI_API_KEY={CANARIES['dotenv']}\n")
    write_csv(base / "work/mine.csv", small_rows(60))
    (base / "work/given.ini").write_text(f"[trainer]\nhub_token = {CANARIES['hub_token']}\n")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "XDG_"))}
    env |= {"HOME": str(base / "home"), "HF_TOKEN": CANARIES["HF_TOKEN"], "WANDB_API_KEY": CANARIES["WANDB_API_KEY"]}
    return base, env | {
        "HF_ENDPOINT": f"http://user:{CANARIES['endpoint']}@127.0.0.1:1/",
        "PYTHONUNBUFFERED": "1",
        "IPYTHONDIR": str(base / "home/.ipython"),
    }


@pytest.fixture(scope="module")
def routes(environment, tiny):
    "All routes in one process: (folder, what each route printed)"
    base, env = environment
    quick = [
        "--model_name_or_path",
        tiny,
        "--train_file",
        "mine.csv",
        "--text_column_name",
        "review",
        "--label_column_name",
        "stars",
    ]
    quick += ["--num_train_epochs", "1", "--baselines", "majority", "--num_resamples", "100"]
    token = CANARIES["hub_token"]
    refused = [
        ["--hub_token", token],
        [f"--hub_token={token}"],
        ["--hub_tokn", token],
        [f"--hub_tokn={token}"],
        ["given.ini"],
    ]
    refused += [
        ["--train_file", URL],
        ["--validation_file", URL],
        ["--dataset_name", URL],
        ["--model_name_or_path", URL],
        ["--run_name", URL],
        ["--model_name_or_path", "nobody/nothing"],
    ]
    routes = {
        "train": [["train", *quick, "--run", "done"]],
        "crash": [["train", *quick, "--run", "crashed"]],
        "refused": [["train", *quick, *more] for more in refused]
        + [["train", "--dataset_name", name, "--model_name_or_path", tiny] for name in ("nobody/nothing", URL)],
        "evaluate": [
            ["evaluate", "done"],
            ["evaluate", "done", "--file", "mine.csv", "--json"],
            ["evaluate", "done", "--file", URL],
        ],
        "predict": [
            ["predict", "done", "lovely bread"],
            ["predict", "done", "--file", "mine.csv", "--out", "out.csv"],
            ["predict", "done", "--file", URL],
            ["predict", URL, "x"],
        ],
        "report": [],
        "runs": [["runs"], ["runs", "--json"], ["runs", "done", "crashed"], ["runs", URL, "done"]],
    }
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        cwd=base / "work",
        env=env,
        input=json.dumps(routes).encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout.decode()
    parts = done.stdout.split(b"=== ")[1:]
    return base, {part.split(b"\n")[0].decode(): part for part in parts}


def test_every_route_was_completed(routes):
    base, printed = routes
    codes = {
        route: [int(line.rsplit(b" ", 1)[1]) for line in text.splitlines() if line.startswith(b"exit code ")]
        for route, text in printed.items()
    }
    assert codes == {
        "train": [0],
        "crash": [1],
        "refused": [2] * 13,
        "evaluate": [0, 0, 2],
        "predict": [0, 0, 2, 2],
        "report": [],
        "runs": [0, 0, 0, 2],
    }
    status = {p.parent.name: json.loads(p.read_text())["status"] for p in (base / "work/runs").glob("*/run.json")}
    assert status == {"done": "finished", "crashed": "failed"}
    assert (
        "401 for url" in json.loads((base / "work/runs/crashed/run.json").read_text())["reason"]
        and b"401 for url" in printed["crash"]
    )
    assert all(
        contains(canary, (base / place).read_bytes())
        for place, canary in (("work/.env", CANARIES["dotenv"]), ("home/.netrc", CANARIES["netrc"]))
    )


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("canary", CANARIES)
def test_secret_is_not_printed(routes, canary, route):
    lines = [line for line in routes[1][route].splitlines() if contains(CANARIES[canary], line)]
    assert lines == []


@pytest.mark.parametrize("canary", CANARIES)
def test_secret_is_not_written(routes, canary):
    files = read_written(routes[0])
    assert {
        "work/runs/done/model/README.md",
        "work/runs/done/report.html",
        "work/runs/crashed/run.json",
        "work/out.csv",
    } <= files.keys()
    assert [name for name, data in files.items() if contains(CANARIES[canary], data)] == []


CELLS = [
    "import os, time\nfrom ftkit.settings import Settings\nfrom ftkit.fine_tuning import fine_tune\n"
    "from ftkit.views.errors import error_table\n"
    "sleep = time.sleep\ntime.sleep = lambda seconds: sleep(min(seconds, 0.01))",
    "mine = dict(train_file='mine.csv', text_column_name='review', label_column_name='stars')\n"
    "mine |= dict(num_train_epochs=1, baselines=['majority'])",
    "run = fine_tune(Settings(model_name_or_path=os.environ['TINY'], **mine), name='notebook')\n"
    "run.report(), run, error_table(run)",
    "fine_tune(Settings(model_name_or_path='nobody/nothing', **mine))",
    "fine_tune(Settings(dataset_name='nobody/nothing'))",
    "fine_tune(Settings(**mine).replace(hub_token=os.environ['GIVEN']))",
    "fine_tune(Settings(train_file=os.environ['GIVEN_URL']))",
    "fine_tune(Settings(dataset_name=os.environ['GIVEN_URL']))",
    "run.evaluate(os.environ['GIVEN_URL'])",
]


@pytest.fixture(scope="module")
def executed(environment, tiny):
    "A notebook that was executed and saved, its errors among the outputs"
    import nbformat
    from nbclient import NotebookClient

    base, env = environment
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        allow_errors=True,
        timeout=200,
        resources={"metadata": {"path": str(base / "work")}},
    )
    client.execute(env=env | {"TINY": tiny, "GIVEN": CANARIES["hub_token"], "GIVEN_URL": URL})
    nbformat.write(notebook, base / "work/executed.ipynb")
    return base, [[o.ename for o in cell.outputs if o.output_type == "error"] for cell in notebook.cells]


@pytest.mark.slow
@pytest.mark.parametrize("canary", CANARIES)
def test_secret_is_not_in_notebook(executed, canary):
    base, errors = executed
    assert errors == [[], [], [], *[["UserError"]] * 6]
    files = read_written(base)
    assert {"work/executed.ipynb", "work/runs/notebook/report.html"} <= files.keys()
    assert [name for name, data in files.items() if contains(CANARIES[canary], data)] == []
