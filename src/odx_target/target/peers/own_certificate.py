"""The certificate of this array, which its pool remembers."""

import json

from odx_target.replica.edge.tls import OwnCertificate
from odx_target.store.api import Pool
from odx_target.target.trio_environment import TrioEnvironment

KEY = "replica/certificate"
"""Key under which the pool remembers the certificate."""


async def own_certificate(pool: Pool, environment: TrioEnvironment) -> OwnCertificate:
    """Return the certificate of the array. Make one at the first call, and again if the identity of the pool was renewed.

    A new certificate is in the open batch of the pool until the caller commits it. May raise the exceptions of `Volume.write`.
    """
    found = _remembered(pool)
    if found is None:
        found = await environment.in_thread(_make)
        document = {
            "own_pool": pool.identity.hex(),
            "certificate": found.certificate.hex(),
            "private_key": found.private_key.decode(),
        }
        pool.remember(KEY, json.dumps(document).encode())
    return found


def _remembered(pool: Pool) -> OwnCertificate | None:
    value = pool.remembered(KEY)
    if value is None:
        return None
    document = json.loads(value)
    if document["own_pool"] != pool.identity.hex():
        return None
    return OwnCertificate(bytes.fromhex(document["certificate"]), document["private_key"].encode())


def _make() -> OwnCertificate:
    # An array without peers does not load the library.
    from odx_target.replica.edge.certificates import make_certificate

    return make_certificate()
