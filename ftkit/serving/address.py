"Where a server listens and who may ask it: address, port, token. Nothing heavy is loaded here."

import errno
import ipaddress
import os
import socket

from ftkit.errors import UserError

NEEDED = ("fastapi", "uvicorn", "prometheus_client")  # packages of a server
TOKEN = "FTKIT_SERVE_TOKEN"  # the environment variable
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")  # names of this machine that only it can reach


def is_loopback(
    host: str,  # the address to listen on
) -> bool:
    "Return whether only this machine can reach an address"
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def pick_hosts(
    host: str,  # the address to listen on
) -> tuple[str, ...] | None:
    "Return the values of the Host header that are answered; None: any, as a token protects the server"
    return LOOPBACK if is_loopback(host) else None


def read_token(
    host: str,  # the address to listen on
) -> str | None:
    "Return the token that clients have to send. Raises `UserError` if other machines could ask without one"
    token = os.environ.get(TOKEN, "").strip()
    if not token and not is_loopback(host):
        raise UserError(
            f"--host {host}: other machines could reach the server. Set a token first, which its clients then send: "
            f"export {TOKEN}=$(python -c 'import secrets; print(secrets.token_urlsafe(32))')"
        )
    if token and (len(token) < 16 or not token.isascii()):
        raise UserError(f"{TOKEN}: has {len(token)} characters. Use at least 16 letters and digits.")
    return token or None


def bind(
    host: str,  # the address to listen on
    port: int,  # 0: a free one
) -> socket.socket:
    "Return a listening socket. Raises `UserError` if the address cannot be used"
    if not 0 <= port < 65536:
        raise UserError(f"--port {port}: write a number from 1 to 65535, or 0 for a free port.")
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        sock = socket.socket(kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(
                f"--port {port}: another program uses this port on {host}. Give another, or 0 for a free one."
            ) from None
        raise UserError(
            f"--host {host} --port {port}: cannot be used ({error.strerror}). Give another address."
        ) from None
    return sock


def make_url(
    sock: socket.socket,  # that listens
) -> str:
    "Return the address for a browser"
    host, port = sock.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
