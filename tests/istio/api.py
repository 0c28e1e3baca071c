"""As much of a Kubernetes API as Istio's control plane needs: it has these manifests, their CRDs and one pod, and takes what it is given.

usage: api.py CRDS DIRECTORY

CRDS is Istio's customresourcedefinitions.gen.yaml; what is in the directory's files is served. Prints its port on 127.0.0.1. Nothing that is
there changes: a watch is silent.
"""

from __future__ import annotations

import http.server
import json
import pathlib
import sys
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

# Ten times as quick, where it was built.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


# What a list is called, by its path. Those that are not here are lists of Kubernetes' own objects.
LISTS = {DEFINITIONS: {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}}


def load(crds: str, directory: str) -> dict[str, list[Any]]:
    """Objects by the path of their collection, of all namespaces."""
    found: dict[str, list[Any]] = {DEFINITIONS: []}
    kinds = {}
    for crd in yaml.load_all(pathlib.Path(crds).read_text(), LOADER):
        if not crd:
            continue
        spec = crd["spec"]
        found[DEFINITIONS].append(
            {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": crd["metadata"]["name"]}}
        )
        # Istio asks for one version of each, whichever the manifest names: the API server converts, and here they are alike.
        paths = kinds[spec["group"], spec["names"]["kind"]] = []
        for version in (f"{spec['group']}/{version['name']}" for version in spec["versions"]):
            paths.append(f"/apis/{version}/{spec['names']['plural']}")
            LISTS[paths[-1]] = {"kind": spec["names"]["kind"] + "List", "apiVersion": version}
    for file in sorted(pathlib.Path(directory).iterdir()):
        for document in yaml.load_all(file.read_text(), LOADER):
            for path in kinds[document["apiVersion"].split("/")[0], document["kind"]]:
                version = "/".join(path.split("/")[2:4])
                found.setdefault(path, []).append({**document, "apiVersion": version})
    found["/api/v1/pods"] = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "shop-0", "namespace": "shop", "labels": {"app": "shop"}},
            "spec": {"containers": []},
            "status": {"phase": "Running", "podIP": "127.0.0.2", "podIPs": [{"ip": "127.0.0.2"}]},
        }
    ]
    for objects in found.values():
        for nth, one in enumerate(objects):
            one["metadata"] |= {"resourceVersion": "1", "uid": f"{one['kind']}-{nth}", "creationTimestamp": "2025-01-01T00:00:00Z"}
    return found


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict[str, list[Any]] = {}

    def answer(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status: int, reason: str) -> None:
        self.answer(status, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": status})

    def watch(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        threading.Event().wait()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query, parts = parse_qs(url.query), url.path.strip("/").split("/")
        objects = self.objects.get(url.path, [])
        if url.path == "/version":
            self.answer(200, {"major": "1", "minor": "37", "gitVersion": "v1.37.0"})
        elif "sendInitialEvents" in query:
            # Then they list, and watch.
            self.refuse(422, "Invalid")
        elif "watch" in query:
            self.watch()
        # One object by its name, with a namespace or without.
        elif len(parts) == (6 if parts[0] == "api" else 7) or (url.path.startswith("/api/v1/") and len(parts) == 4):
            self.refuse(404, "NotFound")
        else:
            kind = LISTS.get(url.path, {"kind": "List", "apiVersion": "v1"})
            self.answer(200, {**kind, "metadata": {"resourceVersion": "1"}, "items": objects})

    def do_POST(self) -> None:
        value = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        # A patch is a list.
        if isinstance(value, dict):
            value.setdefault("metadata", {})["resourceVersion"] = "1"
        self.answer(201, value if isinstance(value, dict) else {})

    do_PUT = do_PATCH = do_POST

    def log_message(self, *_: Any) -> None:
        pass


Api.objects = load(sys.argv[1], sys.argv[2])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
