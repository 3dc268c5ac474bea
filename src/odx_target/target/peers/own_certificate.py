"""The certificate of this array, which its pool remembers."""

import json
import ssl
from typing import Any

from odx_target.replica.edge.tls import OwnCertificate, server_context
from odx_target.store.api import Pool
from odx_target.target.reporter import Reporter
from odx_target.target.trio_environment import TrioEnvironment

KEY = "replica/certificate"
"""Key under which the pool remembers the certificate."""

UNREADABLE_KEY = "replica/unreadable-certificate"
"""Key under which the pool remembers the last record of a certificate that could not be read."""


async def own_certificate(pool: Pool, environment: TrioEnvironment, reporter: Reporter) -> OwnCertificate:
    """Return the certificate of the array. Make one at the first call, and again if the identity of the pool was renewed.

    A record that cannot be read is kept under `UNREADABLE_KEY`, and a new certificate is made. A new certificate is in the open
    batch of the pool until the caller commits it. May raise the exceptions of `Volume.write`.
    """
    value, found = pool.remembered(KEY), None
    if value is not None:
        try:
            found = _decode(value, pool.identity)
        except (ValueError, KeyError, TypeError, ssl.SSLError):
            pool.remember(UNREADABLE_KEY, value)
            text = "the certificate of this array cannot be read, so a new one was made; pair the paths of the array again"
            reporter.report("error", text)
    if found is None:
        found = await environment.in_thread(_make)
        document = {
            "own_pool": pool.identity.hex(),
            "certificate": found.certificate.hex(),
            "private_key": found.private_key.decode(),
        }
        pool.remember(KEY, json.dumps(document).encode())
    return found


def _decode(value: bytes, pool_identity: bytes) -> OwnCertificate | None:
    """Decode a record. Returns None if it belongs to another pool: this pool is a copy whose identity was renewed.

    Raises ValueError, KeyError, TypeError and ssl.SSLError if the record cannot be read or used.
    """
    document: dict[str, Any] = json.loads(value)
    if bytes.fromhex(document["own_pool"]) != pool_identity:
        return None
    found = OwnCertificate(bytes.fromhex(document["certificate"]), document["private_key"].encode())
    server_context(found, [])
    return found


def _make() -> OwnCertificate:
    # An array without peers does not load the library.
    from odx_target.replica.edge.certificates import make_certificate

    return make_certificate()
