"""The HTTP control port of `odx-target serve`."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from odx_target.cli.managing.http_token import token_in
from odx_target.cli.serving.announcement import HttpAddress
from odx_target.cli.serving.management import perform
from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Portal, ServeConfig
from odx_target.target.loopback import is_loopback

TOKEN_BYTES = 32
"""Length of a token that the array makes: nobody can guess 256 random bits."""

MAX_CLIENTS = 16
"""Number of clients for which the descriptors of the process have room, as on the control socket."""


def http_descriptors(address: Portal | None) -> int:
    """Return the number of file descriptors of the HTTP control port: a listening socket and its clients."""
    return 0 if address is None else MAX_CLIENTS + 1


def check_http(files: ServeConfig, *, shows_token: bool) -> None:
    """Check the settings of the HTTP control port. `shows_token` is True if clients learn a token that the array makes.

    Raises ConfigError.
    """
    if files.http is None:
        return
    try:
        is_local = is_loopback(files.http.host)
    except ValueError:
        is_local = files.http.host == "localhost"
    if not is_local:
        raise ConfigError(f"http {files.http}: the control port is for programs on this machine only, such as 127.0.0.1:8080")
    if files.http_token_file is None and not shows_token:
        raise ConfigError("http: give --http-token-file, or --json or --ready-file, from which clients learn the token")


@asynccontextmanager
async def served_http(files: ServeConfig, array: Array) -> AsyncIterator[HttpAddress | None]:
    """Serve the HTTP control port while the body runs. Yields its address, or None if there is none. Raises OSError, and
    ConfigError if the token file is not valid or the libraries are missing.
    """
    if files.http is None:
        yield None
        return
    try:
        from odx_target.target.control.http.server import serve_http
    except ImportError as error:
        raise ConfigError(f"http: {error.name} is missing; `pip install 'odx-target[http]'` installs it") from error
    token = secrets.token_urlsafe(TOKEN_BYTES) if files.http_token_file is None else token_in(files.http_token_file)
    async with serve_http(files.http, partial(perform, array), token) as portal:
        yield HttpAddress(f"http://{portal}", token)
