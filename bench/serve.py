"""Ask `ftkit serve` from 50 clients, with requests answered one by one and in shared calls of the model.

    .venv/bin/python bench/serve.py RUN [SECONDS]

Printed and written to bench/serve.json: answers a second, the time that 95 % of them took at most, how many were those
of `Run.predict` bit for bit, the largest difference of a score, and the memory of the server.
"""

import os

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import http.client
import json
import platform
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
CLIENTS, TEXTS = 50, 200


def load(server, texts: list[str], answers: list[dict], seconds: float) -> list[tuple]:
    "Return (status, seconds, equal to the bit, difference of the score) of each request"
    done, end = [], time.monotonic() + seconds

    def client(number: int) -> None:
        connection, draw = http.client.HTTPConnection("127.0.0.1", server.port), np.random.default_rng(number)
        while time.monotonic() < end:
            i, began = int(draw.integers(len(texts))), time.monotonic()
            connection.request(
                "POST", "/predict", json.dumps({"text": texts[i]}), {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            found, taken = json.loads(response.read()), time.monotonic() - began
            gap = abs(found.get("score", 0) - answers[i]["score"]) if response.status == 200 else 0.0
            done.append((response.status, taken, found == answers[i], gap))

    threads = [threading.Thread(target=client, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


def measure(run, texts: list[str], answers: list[dict], batch_size: int, seconds: float) -> dict:
    "Return what one server did"
    from serving import serving

    with serving(run.path.parent, "--batch_size", batch_size, run=run.path) as server:
        load(server, texts, answers, 2)
        process = psutil.Process(server.process.pid)
        before, cpu = process.memory_info().rss, sum(process.cpu_times()[:2])
        done = load(server, texts, answers, seconds)
        cpu = sum(process.cpu_times()[:2]) - cpu
        return {
            "batch_size": batch_size,
            "requests": len(done),
            "per_second": round(len(done) / seconds, 1),
            "cpu_ms_per_answer": round(1000 * cpu / len(done), 2),
            "p95_seconds": round(float(np.quantile([taken for _, taken, *_ in done], 0.95)), 3),
            "in_flight_max": server.metric("ftkit_in_flight_max"),
            "refused": sum(status == 503 for status, *_ in done),
            "errors": sum(status not in (200, 503) for status, *_ in done),
            "bit_for_bit": sum(same for _, _, same, _ in done),
            "largest_difference": max(gap for *_, gap in done),
            "memory_growth_mb": round((process.memory_info().rss - before) / 1e6, 1),
        }


def main() -> None:
    "Measure both ways and write the figures"
    from ftkit.fine_tuning import Run
    from ftkit.runs.folder import package_versions

    run, seconds = Run(Path(sys.argv[1]).absolute()), float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    texts = list(run.predictions.text[-TEXTS:])
    model = run.open_model()
    answers = [run.task.answer(*model, [text], run.settings)[0] for text in texts]
    rows = [measure(run, texts, answers, size, seconds) for size in (1, 8, 32)]
    found = {
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "threads": int(os.environ["OMP_NUM_THREADS"]),
        "clients": CLIENTS,
        "seconds": seconds,
        "model": Path(run.settings.model_name_or_path).name,
        "versions": package_versions(),
        "rows": rows,
    }
    (ROOT / "bench/serve.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
