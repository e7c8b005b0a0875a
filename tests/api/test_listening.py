"""The door on a real socket: it listens where the configuration says, or says why it cannot."""

from __future__ import annotations

import datetime
import json
import socket
import ssl
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from retirement.api.listening import listening
from retirement.config import load
from retirement.errors import ConfigError
from tests.config.desk import ENVIRON, OWN

from .desk import FIRST, SECOND, Desk, Signer

pytestmark = pytest.mark.anyio


@pytest.fixture
def port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    return number


def certificate(folder: Path, signer: Signer = FIRST) -> None:
    """A certificate of 127.0.0.1, and the key of it or another one."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, FIRST.private.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(FIRST.private, hashes.SHA256())
    )
    (folder / "door.pem").write_bytes(made.public_bytes(Encoding.PEM))
    private = signer.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "door.key").write_bytes(private)


async def test_it_listens_and_says_where(desk: Desk, port: int) -> None:
    """A request too large for any reason is refused by the parser, before it is one."""
    desk.settings |= {"url": f"http://localhost:{port}", "port": port}
    async with listening(desk.configuration) as line, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/api/health", headers={"Host": f"localhost:{port}"})
        rebound = await client.get(f"http://127.0.0.1:{port}/api/health", headers={"Host": "evil.example"})
        large = await client.get(
            f"http://127.0.0.1:{port}/api/me",
            headers={"Host": f"localhost:{port}", "Authorization": f"Bearer {'a' * 1_000_000}"},
        )

    where = f"http://localhost:{port} (listens at 127.0.0.1:{port})"
    assert line == f"door: {where}; it asks {desk.settings['issuer']} who comes in"
    assert (answer.status_code, rebound.status_code, large.status_code) == (200, 400, 400)
    assert "server" not in answer.headers
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


async def test_it_listens_with_its_own_certificate(desk: Desk, port: int) -> None:
    """Where no proxy has one."""
    certificate(desk.folder)
    desk.settings |= {"url": f"https://localhost:{port}", "port": port, "certificate": "door.pem", "key": "door.key"}
    trusted = ssl.create_default_context(cafile=desk.folder / "door.pem")
    async with listening(desk.configuration), httpx.AsyncClient(trust_env=False, verify=trusted) as client:
        answer = await client.get(f"https://localhost:{port}/api/health")

    assert (answer.status_code, answer.headers["strict-transport-security"]) == (200, "max-age=31536000")


async def test_without_the_section_nothing_listens(tmp_path: Path) -> None:
    """A file of an earlier release has none."""
    file = tmp_path / "retirement.yaml"
    file.write_text(OWN)
    file.chmod(0o600)

    async with listening(load(file, environ=ENVIRON)) as line:
        assert line is None


async def test_what_keeps_it_from_listening_is_one_line(desk: Desk, port: int) -> None:
    """A port that is taken, a key of another certificate, files that are not there, keys that are none."""
    certificate(desk.folder, SECOND)
    desk.settings |= {"url": f"http://localhost:{port}", "port": port}
    file = desk.folder / "retirement.yaml"
    found = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        found.append(await problem(desk))
    desk.settings |= {"certificate": "door.pem", "key": "door.key"}
    found.append(await problem(desk))
    desk.settings |= {"certificate": "none.pem"}
    found.append(await problem(desk))
    desk.settings |= {"certificate": None, "key": None, "learners_keys": "none.json", "learners_audience": "openedx"}
    found.append(await problem(desk))
    (desk.folder / "none.json").write_text(json.dumps([FIRST.public]))
    found.append(await problem(desk))

    taken_by_another = f"127.0.0.1:{port} cannot be listened at (Address already in use)"
    fix = "give certificate and key, in PEM, without a password"
    assert found == [
        f"{file}: door.port: {taken_by_another}; give another door.host or door.port",
        f"{file}: door.certificate: it cannot be served with (KEY_VALUES_MISMATCH); {fix}",
        f"{file}: door.certificate: it cannot be served with (No such file or directory); {fix}",
        f"{desk.folder}/none.json: door.learners_keys cannot be read: No such file or directory",
        f'{desk.folder}/none.json: door.learners_keys is no JWK set; it looks as {{"keys": [{{"kty": "RSA", …}}]}}',
    ]


async def problem(desk: Desk) -> str:
    """The line that the operator gets."""
    with pytest.raises(ConfigError) as raised:
        async with listening(desk.configuration):
            pass
    return str(raised.value)
