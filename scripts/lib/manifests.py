"""Checks manifests against the published schemas: Istio's resources against its CRDs, Kubernetes' own against those of kubernetes-validate.

usage: manifests.py CRDS FILE...

CRDS is Istio's customresourcedefinitions.gen.yaml. A field that no schema knows is an error: the API server would drop it silently.
"""

from __future__ import annotations

import pathlib
import sys
from typing import Any, Iterator

import jsonschema
import kubernetes_validate
import yaml


def strict(schema: Any) -> Any:
    """A structural schema of a CRD as JSON Schema that takes no unknown fields. What stands below oneOf and the like only restricts."""
    made = dict(schema)
    if "properties" in schema:
        made["properties"] = {name: strict(inner) for name, inner in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            made[name] = strict(schema[name])
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    elif schema.get("nullable") and isinstance(schema.get("type"), str):
        made["type"] = [schema["type"], "null"]
    return made


def crds(path: str) -> dict[tuple[str, str], Any]:
    """The schema of each kind and version that is served."""
    found = {}
    for crd in yaml.safe_load_all(pathlib.Path(path).read_text()):
        if not crd:
            continue
        spec = crd["spec"]
        for version in spec["versions"]:
            if version["served"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                # Every object has these; what metadata may hold is not a CRD's to say.
                schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {"type": "object", "required": ["name"]}}
                found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


def problems(document: dict[str, Any], known: dict[tuple[str, str], Any]) -> Iterator[str]:
    kind = document.get("apiVersion", ""), document.get("kind", "")
    if kind in known:
        for error in jsonschema.Draft202012Validator(known[kind]).iter_errors(document):
            yield f"{error.json_path}: {error.message}"
    elif "istio.io/" in kind[0]:
        yield f"Istio has no {kind[1]} in {kind[0]}"
    else:
        try:
            kubernetes_validate.validate(document, "1.37", strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{'.'.join(map(str, error.path))}: {error.message}"


def main(crd_file: str, files: list[str]) -> int:
    known, count, bad = crds(crd_file), 0, 0
    for file in files:
        for document in yaml.safe_load_all(pathlib.Path(file).read_text()):
            if not document:
                continue
            count += 1
            for problem in problems(document, known):
                bad += 1
                print(f"{file}: {document['kind']} {document['metadata']['name']}: {problem[:300]}")
    print(f"{count} manifests against {len(known)} CRDs and the schemas of Kubernetes 1.37: {bad} problems")
    return 1 if bad or not count else 0


sys.exit(main(sys.argv[1], sys.argv[2:]))
