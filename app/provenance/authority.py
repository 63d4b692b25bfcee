"""Who signs: a certificate authority of this user's own, made when it is first needed, or theirs.

The key of the authority is thrown away once it has signed one certificate: nobody can make another
in its name, and its certificate is what `verify` trusts. The key that signs videos stays in a file
that its owner alone can read.
"""

import contextlib
import datetime
import fcntl
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from weights.errors import DependencyError, InputError, OutputError
from weights.opening import open_regular

_CHAIN, _KEY, _ROOTS = "certificate.pem", "key.pem", "trusted.pem"
_YEARS = 10
_MOST_PEM = 1 << 20
_ALGORITHMS = {"Ed25519": "ed25519", "secp256r1": "es256", "secp384r1": "es384"}


@dataclass(frozen=True)
class Identity:
    """What signs: a chain of certificates, its private key, both PEM, and C2PA's name of how."""

    chain: bytes
    key: bytes = field(repr=False)
    algorithm: str


def own_identity(folder: Path) -> Identity:
    """The identity in a folder, made there when there is none. Safe for processes at once.

    Raises OutputError where it cannot be written, DependencyError without `cryptography`.
    """
    chain, key = folder / _CHAIN, folder / _KEY
    try:
        with locked(folder):
            if not (chain.is_file() and key.is_file()):
                _make(folder)
            return _identity(chain.read_bytes(), key.read_bytes())
    except OSError as error:
        raise OutputError(
            f"the signing key in {folder} cannot be made or read: {error.strerror}; give another "
            "folder (--provenance-dir)"
        ) from error


def given_identity(certificate: Path, key: Path) -> Identity:
    """A user's own. Raises InputError for files that hold none or do not belong together."""
    chain, private = (_read(path) for path in (certificate, key))
    return _identity(chain, private)


def trusted(folder: Path, more: Path | None = None) -> str:
    """PEM of the authorities that `verify` trusts: this user's own, and those in the file `more`,
    which may be the chain that signs. Raises InputError for a file that cannot be read.
    """
    roots = folder / _ROOTS
    found = [roots.read_text()] if roots.is_file() else []
    return "\n".join([*found, *([_read(more).decode("utf-8", "replace")] if more else [])])


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder, there and nobody else's as long as the block lasts. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    with open_regular(path, "file", _MOST_PEM, InputError) as file:
        return file.read()


def _identity(chain: bytes, key: bytes) -> Identity:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    except ImportError as error:
        raise DependencyError("signing needs the extra `provenance`") from error
    form, plain = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:
        raise InputError(
            "the signing certificate or key cannot be read; wanted a chain of certificates and a "
            "key without a password, both in PEM"
        ) from error
    if isinstance(private, ec.EllipticCurvePrivateKey):
        name = private.curve.name
    else:
        name = "Ed25519" if isinstance(private, ed25519.Ed25519PrivateKey) else "another kind"
    if name not in _ALGORITHMS:
        raise InputError(f"got a signing key of {name}; wanted {', '.join(_ALGORITHMS)}")
    ours = private.public_key().public_bytes(form, plain)
    if leaf.public_key().public_bytes(form, plain) != ours:
        raise InputError("the signing key is not that of the first certificate of the chain")
    return Identity(chain, key, _ALGORITHMS[name])


def _make(folder: Path) -> None:
    """A root, a certificate that it signs, and the latter's key."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ImportError as error:
        raise DependencyError("signing needs the extra `provenance`") from error
    now = datetime.datetime.now(datetime.UTC)
    begin, end = now - datetime.timedelta(days=1), now + datetime.timedelta(days=365 * _YEARS)
    tag = secrets.token_hex(4)  # two users' authorities are two names

    def name(what: str) -> x509.Name:
        words = (NameOID.ORGANIZATION_NAME, "Visavis"), (NameOID.COMMON_NAME, f"{what} {tag}")
        return x509.Name([x509.NameAttribute(kind, text) for kind, text in words])

    def usage(signs: bool) -> x509.KeyUsage:
        others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
        no = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
        return x509.KeyUsage(digital_signature=not signs, key_cert_sign=signs, crl_sign=signs, **no)

    authority, signer = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()

    def begun(whose: Ed25519PrivateKey, what: str, signs: bool) -> x509.CertificateBuilder:
        public = whose.public_key()
        return (
            x509.CertificateBuilder(name("local authority"), name(what))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(signs, None), True)
            .add_extension(usage(signs), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
        )

    root = begun(authority, "local authority", True).sign(authority, None)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    leaf = (
        begun(signer, "local signer", False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        .add_extension(issuer, False)
        .sign(authority, None)
    )
    pem = serialization.Encoding.PEM
    written = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ours = root.public_bytes(pem)
    known = folder / _ROOTS
    before = known.read_bytes() if known.is_file() else b""  # what an earlier one signed stays ours
    write_atomic(known, before + ours, 0o644)
    write_atomic(folder / _KEY, signer.private_bytes(pem, *written), 0o600)
    write_atomic(folder / _CHAIN, leaf.public_bytes(pem) + ours, 0o644)


def write_atomic(path: Path, data: bytes, mode: int) -> None:
    """A file that is there as a whole or not at all, and never readable to more than `mode`."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
