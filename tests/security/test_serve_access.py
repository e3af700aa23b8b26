"Who may ask a server: other machines with a token alone, pages of strangers never."

import json

import psutil
import pytest
from serving import serving

from ftkit.errors import UserError
from ftkit.serving.address import TOKEN, is_loopback, read_token

SECRET = "a-token-of-the-tests-0123456789"
PRIVATE = ("/info", "/metrics", "/openapi.json")


@pytest.fixture(scope="module")
def guarded(trained):
    "A server that other machines can reach"
    with serving(trained[0], "--host", "0.0.0.0", env={TOKEN: SECRET}) as server:
        yield server


@pytest.fixture(scope="module")
def local(trained):
    "A server for this machine"
    with serving(trained[0]) as server:
        yield server


@pytest.mark.parametrize(
    "sent", [None, "", SECRET, f"Basic {SECRET}", f"Bearer {SECRET[:-1]}", f"Bearer {SECRET}é", "Bearer "]
)
def test_a_wrong_token_learns_nothing(guarded, sent):
    headers = {} if sent is None else {"Authorization": sent.encode("latin-1")}
    for path in PRIVATE:
        status, found, body = guarded.get(path, **headers)
        assert status == 401 and found["www-authenticate"] == "Bearer" and b"small" not in body
    assert guarded.ask({"text": "warm"}, **headers)[0] == 401


def test_the_right_token_is_answered(guarded):
    headers = {"Authorization": f"Bearer {SECRET}"}
    assert [guarded.get(path, **headers)[0] for path in PRIVATE] == [200, 200, 200]
    assert guarded.ask({"text": "warm"}, **headers)[0] == 200
    assert guarded.ask({"text": "warm"}, **headers, Host="any.name.example")[0] == 200
    document = json.loads(guarded.get("/openapi.json", **headers)[2])
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_open_paths_tell_nothing_about_the_run(guarded):
    for path in ("/", "/health", "/ready"):
        status, _, body = guarded.get(path)
        assert status == 200 and b"small" not in body and SECRET.encode() not in body


def test_the_token_is_in_no_log(guarded):
    guarded.get("/info", Authorization=f"Bearer {SECRET}")
    guarded.get(f"/{SECRET}")
    assert SECRET not in guarded.process.stderr + guarded.process.stdout


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:80", "localhost.evil.example", "10.0.0.1", ""]
)
def test_another_name_of_this_machine_is_refused(local, host):
    assert local.get("/info", Host=host)[0] == 421
    assert local.ask({"text": "warm"}, Host=host)[0] == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000"])
def test_the_own_names_are_answered(local, host):
    assert local.get("/info", Host=host)[0] == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_foreign_page_can_send_is_refused(local, kind):
    assert local.ask({"text": "warm"}, **{"Content-Type": kind})[0] == 415


def test_a_foreign_page_may_not_ask(local):
    status, headers, _ = local.request(
        "OPTIONS", "/predict", Origin="https://evil.example", **{"Access-Control-Request-Method": "POST"}
    )
    assert status == 405 and not [name for name in headers if name.startswith("access-control")]
    headers = local.get("/info", Origin="https://evil.example")[1]
    assert not [name for name in headers if name.startswith("access-control")]


def test_two_lengths_are_refused(local):
    body = b'{"text": "warm"}'
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    assert local.raw([head + b"Content-Length: 5\r\nContent-Length: 16\r\n\r\n" + body]) == 400


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "my.machine.example", "127.evil.example"])
def test_other_machines_need_a_token(host, monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    with pytest.raises(UserError, match="Set a token first"):
        read_token(host)
    monkeypatch.setenv(TOKEN, "short")
    with pytest.raises(UserError, match="has 5 characters"):
        read_token(host)
    monkeypatch.setenv(TOKEN, SECRET)
    assert read_token(host) == SECRET


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_needs_none(host, monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    assert is_loopback(host) and read_token(host) is None


def test_only_this_machine_can_connect_by_default(local):
    listening = [c.laddr.ip for c in psutil.Process(local.process.pid).net_connections() if c.status == "LISTEN"]
    assert listening == ["127.0.0.1"]
