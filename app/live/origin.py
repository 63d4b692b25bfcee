"""Where the pictures of a conversation come from: one mark from its beginning to its end, also
after it was left and resumed.
"""

import hashlib
from pathlib import Path

from app.provenance.origin import Origin, Provenance, digest_of
from app.render.result import used_weights, versions


def live_origin(provenance: Provenance, identity: str, photo: Path) -> Origin:
    """That of the conversation of an id, which is a secret: only its hash is told."""
    claim = {
        "version": versions().get("visavis", "unknown"),
        "kind": "live",
        "session": hashlib.sha256(identity.encode()).hexdigest()[:16],
        "inputs": {"portrait": digest_of(photo)},
        "weights": used_weights(),
    }
    return provenance.origin(claim)
