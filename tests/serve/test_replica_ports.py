"""Replicas listen on ports of their own, which unpickle what they are sent: only for whoever has Ray's token."""

import contextlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import grpc
import httpx
from ray.serve.generated.serve_pb2 import ASGIRequest
from ray.serve.generated.serve_pb2_grpc import ASGIServiceStub

LISTENS = "0A"


class Marks:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self._folder),)


def ports_of(pid: int) -> list[int]:
    sockets = set[str]()
    for place in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            sockets.add(str(place.readlink()))
    rows = [line.split() for kind in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]]
    return [int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == LISTENS and f"socket:[{row[9]}]" in sockets]


def test_no_replica_runs_anything_for_whoever_has_no_token(
    client: httpx.Client, replicas: Callable[[str], list[int]], tmp_path: Path
) -> None:
    request = ASGIRequest(pickled_request_metadata=pickle.dumps(Marks(tmp_path / "made")))
    refused = 0
    for pid in [*replicas("Ingress"), *replicas("Host")]:
        for port in ports_of(pid):
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                try:
                    ASGIServiceStub(channel).HandleRequest(request, timeout=10)
                except grpc.RpcError as error:
                    refused += error.code() == grpc.StatusCode.UNAUTHENTICATED
    assert not (tmp_path / "made").exists()
    assert refused == 2  # each has one
    assert client.get("/readyz").status_code == 200
