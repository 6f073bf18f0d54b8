"""HTTP rules of the page's server: check of the Host header, and content security policy.

Written by hand, because starlette's `TrustedHostMiddleware` has no rule for numeric addresses, such as IPv6 ones.
"""

import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import Any

# the browser loads nothing from other servers
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' blob: data:; worker-src 'self' blob:; "
    "frame-ancestors 'self'; form-action 'self'"
)


def may_be_asked_for(host_header: str, listening_on: str) -> bool:
    """Whether a Host header names this server.

    A malicious page can let its own name resolve to this machine (DNS rebinding) and then read what only this machine
    may read. It cannot do so with a numeric address.

    Args:
        host_header: the header, with or without a port.
        listening_on: the address or name that the server was given.

    Example:
        >>> [may_be_asked_for(name, "127.0.0.1") for name in ("127.0.0.1:7860", "[::1]:7860", "evil.example")]
        [True, True, False]
    """
    name = host_header.strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if name in {"localhost", listening_on.lower(), socket.gethostname().lower()}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class PageRules:
    """ASGI middleware that refuses other Host headers than the server's, and adds the content security policy.

    Args:
        app: the application.
        listening_on: the address or name that the server was given.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], listening_on: str) -> None:
        self.app = app
        self.listening_on = listening_on

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Call the application, or refuse with status 400."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not may_be_asked_for(hosts[0], self.listening_on):
            from starlette.responses import PlainTextResponse

            await PlainTextResponse("this server has another name", status_code=400)(scope, receive, send)
            return

        async def send_with_policy(part: Any) -> None:
            if part["type"] == "http.response.start":
                part["headers"] = [*part["headers"], (b"content-security-policy", POLICY.encode())]
            await send(part)

        await self.app(scope, receive, send_with_policy)
