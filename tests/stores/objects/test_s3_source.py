"""The file that a child reads over HTTP: its bytes whatever happens on the way, or an error."""

import hashlib
import io
import random
import resource
import ssl
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from ipaddress import ip_address
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import BinaryIO

import av
import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from media.plan import Chunk, Plan
from media.settings import FfmpegSettings, Profile
from stores.errors import Conflict, Denied, NotFound, Throttled, TimedOut, Unavailable
from stores.objects import s3_ranges
from stores.objects.base import Source
from tests.stores.objects.ranges import Cut, Fault, Served, Stall, Status, serving
from transcoder import landlock
from transcoder.messages import Probed
from transcoder.planner import make_plan
from transcoder.probe import probe
from transcoder.source import opened
from transcoder.video import encode_chunk
from transcoder.work import Limits, OnlySource

CLIP = Path(__file__).parents[2] / "media" / "drone-480p29.97-fullrange.mp4"
DATA = random.Random(1).randbytes(3_000_000)
SHA = hashlib.sha256(DATA).hexdigest()


def faults_in_turn(*faults: Fault) -> Callable[[int], Fault]:
    return lambda number: faults[number % len(faults)]


def test_whole_file_over_one_connection() -> None:
    with serving(Served(DATA)) as served, served.source().open() as file:
        assert file.read() == DATA
        assert file.read() == b""
        assert served.connections == 1
        assert [asked.start for asked in served.asked[1:]] == [
            asked.stop for asked in served.asked[:-1]
        ]


def test_windows_grow_while_a_file_is_read_in_order() -> None:
    """And what is kept of them stays bounded."""
    with serving(Served(bytes(120 << 20))) as served, served.source().open() as file:
        while file.read(1 << 20):
            pass
        sizes = [len(asked) for asked in served.asked]
        assert sizes[:-1] == sorted(sizes[:-1])
        assert (sizes[0], max(sizes)) == (32 << 10, 4 << 20)
        assert served.bytes_sent == 120 << 20
        served.asked.clear()
        file.seek(0)
        assert file.read(10) == bytes(10)
        assert [len(asked) for asked in served.asked] == [32 << 10]


def test_two_places_read_in_turn_are_each_read_once() -> None:
    with serving(Served(DATA)) as served, served.source().open() as file:
        for offset in range(0, 1_000_000, 8192):
            for start in (0, 2_000_000):
                file.seek(start + offset)
                piece = file.read(8192)
                piece += file.read(8192 - len(piece))
                assert piece == DATA[start + offset : start + offset + 8192]
        assert served.bytes_sent < 2 * 1_000_000 * 1.2


steps = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(0, 100_000)),
        st.tuples(st.just("seek"), st.integers(0, 450_000)),
        st.tuples(st.just("back"), st.integers(0, 70_000)),
    ),
    max_size=30,
)


@given(steps=steps)
@settings(max_examples=30)
def test_behaves_like_a_file(steps: list[tuple[str, int]]) -> None:
    data = DATA[:400_000]
    with serving(Served(data)) as served, served.source().open() as file:
        oracle = io.BytesIO(data)
        for step, number in steps:
            if step == "read":
                piece = file.read(number)
                assert piece == oracle.read(len(piece))
                assert piece or number == 0 or oracle.read(1) == b""
            elif step == "seek":
                assert file.seek(number) == oracle.seek(number)
            else:
                back = -min(number, file.tell())
                assert file.seek(back, io.SEEK_CUR) == oracle.seek(back, io.SEEK_CUR)
            assert file.tell() == oracle.tell()


@pytest.mark.parametrize(
    "faults",
    [
        [Cut(None), None],
        [Cut(0), None],
        [Cut(1000)],
        [Status(500), Status(503), Status(429), None],
        [None, Cut(20_000), Status(502), Cut(None), Cut(31), None],
    ],
    ids=str,
)
def test_faults_that_pass_are_not_noticed(faults: list[Fault]) -> None:
    served = Served(DATA[:300_000], faults_in_turn(*faults))
    with serving(served), served.source().open() as file:
        assert file.read() == DATA[:300_000]
        assert getattr(file, "failure", None) is None


def test_silence_ends_a_connection_not_the_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_ranges, "SILENCE_S", 0.2)
    served = Served(DATA[:300_000], faults_in_turn(Stall(50_000), Stall(0), None, None, None))
    with serving(served), served.source().open() as file:
        assert file.read() == DATA[:300_000]


REFUSALS = [
    (Status(404), NotFound, "object source/m"),
    (Status(403), Denied, "object source/m: S3 answered 403 to its link, which has expired"),
    (Status(400), Denied, "expired"),
    (Status(412), Conflict, "object source/m was replaced"),
    (Status(302), Unavailable, "302"),
]


@pytest.mark.parametrize(("fault", "error", "message"), REFUSALS)
@pytest.mark.parametrize("request_number", [0, 3])
def test_refusals(fault: Fault, error: type[Exception], message: str, request_number: int) -> None:
    served = Served(DATA, lambda number: fault if number == request_number else None)
    with (
        serving(served),
        pytest.raises(error, match=message) as raised,
        served.source().open() as file,
    ):
        file.read()
    assert type(raised.value) is error
    assert "Signature" not in str(raised.value)


@pytest.mark.parametrize(
    ("fault", "error"),
    [(Status(503), Throttled), (Status(500), Unavailable), (Cut(None), Unavailable)],
)
def test_faults_that_do_not_pass(
    fault: Fault, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_ranges, "BUDGET_S", 0.3)
    served = Served(DATA, lambda number: fault if number > 3 else None)
    with serving(served), served.source().open() as file:
        for _ in range(2):
            with pytest.raises(error, match="object source/m: S3 could not be read") as raised:
                while file.read(1 << 20):
                    pass
            assert type(raised.value) is error
            assert getattr(file, "failure", None) is raised.value
        file.seek(0)
        assert file.read(10) == DATA[:10]


def test_silence_that_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_ranges, "SILENCE_S", 0.1)
    monkeypatch.setattr(s3_ranges, "BUDGET_S", 0.3)
    with serving(Served(DATA, faults_in_turn(Stall(0)))) as served, pytest.raises(TimedOut):
        served.source().open()


def test_object_that_is_replaced_while_it_is_read() -> None:
    """Also where the etag was not known before."""
    for etag in (None, "0a1b"):
        with serving(Served(DATA)) as served, served.source(etag).open() as file:
            file.read(10)
            served.etag = "other"
            with pytest.raises(Conflict, match="replaced"):
                file.read()


def test_children_need_not_import_what_they_do_not_use() -> None:
    code = "import sys, stores.objects.s3_source; print('botocore' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_link_is_not_shown() -> None:
    with serving(Served(DATA)) as served:
        assert "Signature" not in f"{served.source()!r}"


@dataclass(frozen=True)
class Authority:
    certificate: Path
    server: ssl.SSLContext


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ip_address("127.0.0.1")),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("authority")
    pem = folder / "certificate.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = folder / "key.pem"
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem, secret)
    return Authority(pem, server)


def read_confined(source: Source, pipe: Connection) -> None:
    """As a child does: after `open` no file can be opened, and few descriptors are left."""
    try:
        count = Limits(1, 1).open_files
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
        with OnlySource(source).open() as file:
            digest = hashlib.sha256(file.read()).hexdigest()
            try:
                Path("/etc/resolv.conf").read_bytes()
            except PermissionError:
                pipe.send((digest, "no files"))
            else:
                pipe.send((digest, "files"))
    except BaseException as exc:
        pipe.send((repr(exc), ""))
        raise


@pytest.mark.parametrize("encrypted", [False, True])
def test_child_without_files_connects_again(authority: Authority, encrypted: bool) -> None:
    faults = faults_in_turn(None, Cut(10_000), Cut(None), Status(503))
    tls = authority.server if encrypted else None
    with serving(Served(DATA[:400_000], faults), tls) as served:
        source = served.source(ca_file=authority.certificate)
        ours, theirs = get_context("spawn").Pipe(duplex=False)
        process = get_context("spawn").Process(target=read_confined, args=(source, theirs))
        process.start()
        with ours, theirs:
            assert ours.poll(60)
            digest, files = ours.recv()
        process.join()
        process.close()
        assert digest == hashlib.sha256(DATA[:400_000]).hexdigest()
        assert files == ("no files" if landlock.version() else "files")
        assert served.connections > 10


def test_server_that_another_authority_vouches_for(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_ranges, "BUDGET_S", 0.1)
    with (
        serving(Served(DATA), authority.server) as served,
        pytest.raises(Unavailable, match="certificate verify failed"),
    ):
        served.source(ca_file=Path(certifi.where())).open()


@dataclass(frozen=True)
class LocalFile(Source):
    path: Path

    def open(self) -> BinaryIO:
        return self.path.open("rb")


SETTINGS = FfmpegSettings(
    preset="ultrafast",
    segmentduration=timedelta(seconds=2),
    profiles=(
        Profile(name="180p", width=320, height=180, videobitrate=200_000, audiobitrate=64_000),
    ),
)


def span_bytes(plan: Plan, chunk: Chunk) -> int:
    """Of the packets from the key frame that decoding begins with to the last one that is shown."""
    assert plan.video is not None
    rate, origin = plan.video.rate.fraction, Fraction(*plan.origin)
    first, last = chunk.first_segment, chunk.first_segment + chunk.segment_count
    start, end = (origin + plan.video_boundaries[n] / rate for n in (first, last))
    with av.open(str(CLIP), "r") as container:
        video = container.streams[plan.video.stream_index]
        packets = [
            (packet.pts * packet.time_base, packet.is_keyframe, packet.pos, packet.size)
            for packet in container.demux(video)
            if packet.pts is not None and packet.time_base and packet.pos is not None
        ]
    key = max(time for time, is_key, _, _ in packets if is_key and time <= start)
    needed = [(pos, size) for time, _, pos, size in packets if key <= time < end]
    return max(pos + size for pos, size in needed) - min(pos for pos, _ in needed)


def test_chunk_reads_its_span_and_little_else() -> None:
    said: list[object] = []
    probe(said.append, LocalFile(CLIP))
    (answer,) = said
    assert isinstance(answer, Probed)
    plan = make_plan(answer.result, SETTINGS, encoder="libx264")
    assert len(list(plan.chunks())) > 3
    data = CLIP.read_bytes()
    with serving(Served(data)) as served, opened(served.source()):
        index_bytes = served.bytes_sent
    for chunk in plan.chunks():
        with serving(Served(data)) as served:
            encode_chunk(lambda _: None, served.source(), plan, chunk)
        assert served.bytes_sent <= 1.2 * span_bytes(plan, chunk) + index_bytes
        assert served.connections == 1
