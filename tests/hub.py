"A small Hugging Face Hub on 127.0.0.1 for the tests: a folder of models and data sets, and no other address."

import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

COMMIT = "b" * 40
API = re.compile(r"/api/(models|datasets)/(.+?)(?:/(revision|tree|paths-info|refs)(?:/([^/]+))?(?:/(.*))?)?")
FILE = re.compile(r"/(datasets/)?(.+?)/resolve/[^/]+/(.+)")


class Handler(BaseHTTPRequestHandler):
    "The few requests that transformers and datasets make"

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def send(self, status: int, body: bytes = b"", **headers) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_json(self, value) -> None:
        self.send(200, json.dumps(value).encode(), Content_Type="application/json")

    def respond(self) -> None:
        path = unquote(urlparse(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append(f"{self.command} {path}")
        if m := API.fullmatch(path):
            return self.send_description(self.server.root / m[1] / m[2], m[2], m[3], m[5], body)
        if m := FILE.fullmatch(path):
            return self.send_file(self.server.root / ("datasets" if m[1] else "models") / m[2], m[3])
        self.send(404, X_Error_Code="EntryNotFound")

    do_GET = do_HEAD = do_POST = respond

    def send_description(self, folder: Path, name: str, verb: str | None, below: str | None, body: bytes) -> None:
        if not folder.is_dir():
            return self.send(404, X_Error_Code="RepoNotFound")
        files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
        rows = [
            {
                "type": "file",
                "path": p.relative_to(folder).as_posix(),
                "size": p.stat().st_size,
                "oid": hashlib.sha1(p.read_bytes()).hexdigest(),
            }
            for p in files
        ]
        if verb == "tree":
            folders = [p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*")) if p.is_dir()]
            tree = rows + [{"type": "directory", "path": path, "size": 0, "oid": COMMIT} for path in folders]
            return self.send_json([r for r in tree if r["path"].startswith((below or "").strip("/"))])
        if verb == "paths-info":
            wanted = json.loads(body or b"{}").get("paths", [])
            return self.send_json([r for r in rows if r["path"] in wanted])
        if verb == "refs":
            return self.send_json(
                {
                    "branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}],
                    "tags": [],
                    "converts": [],
                }
            )
        siblings = [{"rfilename": r["path"]} for r in rows]
        self.send_json(
            {
                "id": name,
                "sha": COMMIT,
                "private": False,
                "gated": False,
                "disabled": False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "lastModified": "2026-01-01T00:00:00.000Z",
                "siblings": siblings,
                "cardData": {},
            }
        )

    def send_file(self, folder: Path, name: str) -> None:
        file = (folder / name).resolve()
        if not folder.is_dir():
            return self.send(404, X_Error_Code="RepoNotFound")
        if not file.is_relative_to(folder.resolve()) or not file.is_file():
            return self.send(404, X_Error_Code="EntryNotFound")
        data = file.read_bytes()
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X_Repo_Commit": COMMIT, "Accept_Ranges": "bytes"}
        if m := re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last = int(m[1]), int(m[2] or len(data) - 1)
            return self.send(206, data[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}", **headers)
        self.send(200, data, **headers)


@contextmanager
def serve(
    root: Path,  # with models/NAME and datasets/NAME below it
):
    "Serve a folder as a Hub. Yield its address and the list of requests that it has seen"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.root, server.requests = root, []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
