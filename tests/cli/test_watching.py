"""What `echo -v` says of a negotiation, and the metrics that `serve` offers over HTTP."""

from __future__ import annotations

import http.client
import json
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from prometheus_client.parser import text_string_to_metric_families

from dicomcore.cli.endpoint import Endpoint
from dicomcore.cli.program import program
from dicomcore.net import AE, Server
from dicomcore.services.verification import VerificationSCP
from dicomcore.vocab.sop_classes import VERIFICATION
from dicomcore.vocab.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

HOST = "127.0.0.1"
PATIENCE = 240.0  # seconds; a guard against a hang, no test waits for it


def run(*arguments: object) -> Result:
    return CliRunner().invoke(program, [str(argument) for argument in arguments], prog_name="dicomcore")


@pytest.fixture
def server() -> Iterator[Server]:
    with AE("PACS").serve(port=0, host=HOST, services=[VerificationSCP()]) as running:
        yield running


def test_a_table_of_the_negotiation(server: Server) -> None:
    result = run("echo", HOST, server.port, "--called", "PACS", "-v", "--count", 3)
    assert (result.exit_code, result.stderr) == (0, "")
    text = result.stdout
    assert f"DICOMCORE -> PACS at {HOST}:{server.port}" in text
    for expected in (
        "Verification SOP Class",
        "accepted",
        "Explicit VR Little Endian",
        "SCU",
        "262,144 received, 262,144 sent",
        "1 invoked, 1 performed",
        str(IMPLEMENTATION_CLASS_UID),
        IMPLEMENTATION_VERSION_NAME,
        "least, median, most of 3",
        "release",
    ):
        assert expected in text
    assert text.splitlines()[-1].startswith(f"PACS at {HOST}:{server.port}: 0000 Success, ")


def test_quiet_says_nothing(server: Server) -> None:
    result = run("echo", HOST, server.port, "-q")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize("other", ["-v", "--json"])
def test_quiet_and_talkative_do_not_agree(other: str) -> None:
    assert run("echo", HOST, 104, "-q", other).exit_code == 2


def test_the_negotiation_as_json(server: Server) -> None:
    row = json.loads(run("echo", HOST, server.port, "--called", "PACS", "--calling", "ME", "--json").stdout)
    assert row["negotiation"]["contexts"] == [
        {
            "id": 1,
            "abstract_syntax": VERIFICATION,
            "accepted": True,
            "result": "accepted",
            "transfer_syntax": "1.2.840.10008.1.2.1",
            "requestor_roles": ["SCU"],
            "note": None,
        }
    ]
    assert row["negotiation"]["window"] == {"invoked": 1, "performed": 1}
    assert (row["negotiation"]["calling"]["ae"], row["negotiation"]["called"]["ae"]) == ("ME", "PACS")
    assert row["negotiation"]["called"]["implementation_class_uid"] == str(IMPLEMENTATION_CLASS_UID)
    assert row["tls"] is None
    assert min(row["association_ms"], row["echo_ms"], row["release_ms"]) > 0


def test_twice_verbose_logs_with_the_association(server: Server) -> None:
    command = [sys.executable, "-m", "dicomcore", "echo", HOST, str(server.port), "-vv"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    rows = [line.split(maxsplit=4)[3:] for line in result.stderr.splitlines()]
    told = {name: rest for name, rest in rows if rest.partition("] ")[2].startswith("->")}
    assert {rest.partition("]")[0] for _, rest in rows} == {"[1"}
    assert set(told) == {"dicomcore.ul", "dicomcore.dimse"}
    assert "C-ECHO-RQ, message 1 on context 1" in told["dicomcore.dimse"]
    assert "0000 Success" in result.stderr


def get(port: int, path: str = "/metrics", method: str = "GET") -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def test_an_endpoint_has_one_page() -> None:
    with Endpoint(lambda: "a 1\n", 0) as endpoint:
        status, headers, body = get(endpoint.port)
        assert (status, body) == (200, "a 1\n")
        assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert get(endpoint.port, "/metrics?x=1")[0] == 200
        assert get(endpoint.port, "/")[0] == get(endpoint.port, "/metricsx")[0] == 404
        assert get(endpoint.port, method="POST")[0] == 501
        status, headers, body = get(endpoint.port, method="HEAD")
        assert (status, headers["Content-Length"], body) == (200, "4", "")


def test_an_endpoint_bears_rude_clients_and_failures(caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> str:
        raise RuntimeError("no metrics today")

    with caplog.at_level(logging.INFO), Endpoint(fails, 0) as endpoint:
        rude = socket.create_connection((HOST, endpoint.port), PATIENCE)
        with socket.create_connection((HOST, endpoint.port), PATIENCE) as silent:
            rude.sendall(b"\0\1\2\r\n\r\n")
            rude.close()
            with pytest.raises(http.client.HTTPException):
                get(endpoint.port)
            assert get(endpoint.port, "/other")[0] == 404  # others are served while the first says nothing
            silent.sendall(b"GET /other HTTP/1.0\r\n\r\n")
            assert silent.recv(12).startswith(b"HTTP/1.0 404")
    assert not caplog.records
    with pytest.raises(OSError, match=r"refused|reset"):
        socket.create_connection((HOST, endpoint.port), PATIENCE).close()


def test_an_endpoint_on_ipv6() -> None:
    try:
        endpoint = Endpoint(lambda: "a 1\n", 0, "::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with endpoint:
        connection = http.client.HTTPConnection("::1", endpoint.port, timeout=PATIENCE)
        connection.request("GET", "/metrics")
        assert connection.getresponse().read() == b"a 1\n"
        connection.close()


def test_serve_offers_its_counters(tmp_path: Any) -> None:
    command = [sys.executable, "-m", "dicomcore", "serve", "--port", "0", "--host", HOST, "--metrics-port", "0"]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as child:
        try:
            assert child.stderr is not None
            told = [child.stderr.readline(), child.stderr.readline()]
            page = next(line for line in told if "/metrics" in line)
            port = int(next(line for line in told if "listens" in line).split(" port ")[1].split()[0])
            with AE("USER").associate(HOST, port) as association:
                association.c_echo()
            status, _, text = get(int(page.strip().rpartition(":")[2].removesuffix("/metrics")))
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(PATIENCE)
    assert status == 200
    families = {family.name: family for family in text_string_to_metric_families(text)}
    (sample,) = families["dicomcore_responses"].samples
    assert (sample.labels, sample.value) == ({"role": "provider", "command": "C-ECHO", "status": "Success"}, 1.0)


def test_a_port_that_is_taken(tmp_path: Any, server: Server) -> None:
    result = run("serve", "--port", 0, "--host", HOST, "--out", tmp_path, "--metrics-port", server.port)
    assert result.exit_code == 1
    assert f"cannot listen on {HOST}:{server.port}" in result.stderr
