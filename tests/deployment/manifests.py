"""The manifests of ``deploy/kubernetes``, and what a cluster makes of them."""

from __future__ import annotations

import functools
import re
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
NAMESPACE = "shop"
FIELDS = {"metadata.namespace": NAMESPACE}

Manifest = dict[str, Any]


def manifests() -> list[Manifest]:
    """Return all, those of a file one after the other; a test may change them."""
    return deepcopy(_read())


@functools.cache
def _read() -> list[Manifest]:
    files = sorted(FOLDER.glob("*.yaml"))
    return [manifest for file in files for manifest in yaml.safe_load_all(file.read_text())]


def find(kind: str, name: str) -> Manifest:
    """Return the manifest of a kind and a name."""
    (manifest,) = (
        each for each in manifests() if (each["kind"], each["metadata"]["name"]) == (kind, name)
    )
    return manifest


@dataclass(frozen=True)
class Workload:
    """What runs pods of one container.

    Attributes:
        name: The name of its manifest.
        selector: The labels by which it knows its pods; None where the cluster makes them up.
        labels: Those that its pods have.
        pod: What is said of them.
    """

    name: str
    kind: str
    selector: dict[str, str] | None
    labels: dict[str, str]
    pod: Manifest

    @property
    def container(self) -> Manifest:
        (container,) = self.pod["containers"]
        return dict(container)

    @property
    def mounts(self) -> list[str]:
        return [mount["mountPath"] for mount in self.container["volumeMounts"]]

    def environment(self, secret: dict[str, str]) -> dict[str, str]:
        """Return its variables, when there is a Secret ``ali1688``; the last of a name counts."""
        variables: dict[str, str] = {}
        for source in self.container["envFrom"]:
            if "secretRef" in source:
                assert source == {"secretRef": {"name": "ali1688"}}
                variables |= secret
            else:
                variables |= find("ConfigMap", source["configMapRef"]["name"])["data"]
        for variable in self.container.get("env", ()):
            variables[variable["name"]] = FIELDS[variable["valueFrom"]["fieldRef"]["fieldPath"]]
        return variables

    def command(self, secret: dict[str, str]) -> list[str]:
        """Return the arguments of ``scrapy``, which is the entry point of the image."""
        variables = self.environment(secret)
        assert "command" not in self.container
        return [
            re.sub(r"\$\((\w+)\)", lambda match: variables[match[1]], word)
            for word in self.container["args"]
        ]


def workloads() -> list[Workload]:
    """Return all that run pods."""
    found = []
    for each in manifests():
        spec, kind = each.get("spec", {}), each["kind"]
        selector = spec["selector"]["matchLabels"] if kind == "Deployment" else None
        if kind == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if template := spec.get("template"):
            name, labels = each["metadata"]["name"], template["metadata"]["labels"]
            found.append(Workload(name, kind, selector, labels, template["spec"]))
    return found


def workload(name: str) -> Workload:
    """Return the one of a name."""
    (found,) = (each for each in workloads() if each.name == name)
    return found
