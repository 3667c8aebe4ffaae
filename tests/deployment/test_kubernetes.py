"""The manifests of Kubernetes: by its own schemas, and by what no schema knows."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

import ali1688_spider
from ali1688_spider.exceptions import ConfigurationError
from tests.deployment.commands import KNOWN_NAMES, SECRETS, check_command
from tests.deployment.manifests import FOLDER, Manifest, Workload, find, manifests, workloads
from tests.deployment.shutdown import longest_end

OLDEST = "1.27"
"""Where a CronJob's time zone is stable."""
NEWEST = re.sub(r"\.\d+$", "", kubernetes_validate.latest_version())
PARTS = {"ali1688-worker", "ali1688-watch", "ali1688-dashboard", "ali1688-report"}


def name_of(each: Any) -> str:
    return each.name if isinstance(each, Workload) else f"{each['kind']}-{each['metadata']['name']}"


every_manifest = pytest.mark.parametrize("manifest", manifests(), ids=name_of)
every_workload = pytest.mark.parametrize("each", workloads(), ids=name_of)


@every_manifest
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_schema_of_kubernetes_knows_every_field(manifest: Manifest, version: str) -> None:
    assert kubernetes_validate.validate(manifest, version, strict=True) == version


def test_the_schemas_refuse_what_is_misspelt() -> None:
    manifest = find("Deployment", "ali1688-worker")
    manifest["spec"]["template"]["spec"]["enableServiceLink"] = False
    with pytest.raises(kubernetes_validate.ValidationError, match="enableServiceLink"):
        kubernetes_validate.validate(manifest, NEWEST, strict=True)


def test_the_manifests_are_those_of_one_application() -> None:
    assert {each.name for each in workloads()} == PARTS
    for manifest in manifests():
        assert manifest["metadata"]["labels"]["app.kubernetes.io/part-of"] == "ali1688"
        assert "namespace" not in manifest["metadata"]  # kubectl --namespace says it
    # Applied with its folder, an empty one would take the place of the operator's.
    assert "Secret" not in {manifest["kind"] for manifest in manifests()}
    assert not list(FOLDER.glob("*.y*ml.*"))


@every_workload
def test_selectors_find_their_pods(each: Workload) -> None:
    name = {"app.kubernetes.io/name": each.name}
    assert each.labels == {**name, "app.kubernetes.io/part-of": "ali1688"}
    assert each.selector == (None if each.kind == "CronJob" else name)
    for constraint in each.pod.get("topologySpreadConstraints", ()):
        assert constraint["labelSelector"]["matchLabels"] == name


def test_the_service_and_the_policy_reach_the_dashboard_alone() -> None:
    service = find("Service", "ali1688-dashboard")["spec"]
    deny, allow = (find("NetworkPolicy", name)["spec"] for name in ("ali1688", service_name()))
    chosen = {
        what: [each.name for each in workloads() if labels.items() <= each.labels.items()]
        for what, labels in {
            "service": service["selector"],
            "deny": deny["podSelector"]["matchLabels"],
            "allow": allow["podSelector"]["matchLabels"],
        }.items()
    }
    assert chosen["service"] == chosen["allow"] == ["ali1688-dashboard"]
    assert set(chosen["deny"]) == PARTS
    assert deny["policyTypes"] == allow["policyTypes"] == ["Ingress"]
    assert "ingress" not in deny
    ports: dict[str, Any] = {each.name: each.container.get("ports") for each in workloads()}
    (port,) = ports.pop(service_name())
    assert service["ports"][0]["targetPort"] == port["name"]
    assert allow["ingress"] == [{"ports": [{"port": port["name"]}]}]
    assert set(ports.values()) == {None}


def service_name() -> str:
    (service,) = (each for each in manifests() if each["kind"] == "Service")
    return str(service["metadata"]["name"])


@every_workload
def test_the_command_and_its_settings_are_the_projects_own(each: Workload) -> None:
    variables = each.environment(SECRETS)
    settings = {name: value for name, value in variables.items() if name in KNOWN_NAMES}
    options = check_command(each.command(SECRETS), settings)
    others = variables.keys() - settings.keys()
    used = set(re.findall(r"\$\((\w+)\)", " ".join(each.container["args"])))
    assert others == used
    if ports := each.container.get("ports"):
        assert (options["host"], options["port"]) == ("0.0.0.0", ports[0]["containerPort"])
        names = {f"{service_name()}{suffix}" for suffix in ("", ".shop", ".shop.svc")}
        assert names <= set(options["name"])


def test_a_wrong_command_is_found() -> None:
    for words in (["crawl", "products"], ["dashboard", "--hots=0.0.0.0"]):
        with pytest.raises(AssertionError):
            check_command(words)
    with pytest.raises(ConfigurationError, match="min_interval"):
        check_command(["crawl", "watch", "-a", "min_interval=often"])


def test_the_configuration_holds_no_secret_and_no_address() -> None:
    data = find("ConfigMap", "ali1688")["data"]
    assert data.keys() <= KNOWN_NAMES - SECRETS.keys()
    assert not [name for name in data if re.search("KEY|SECRET|TOKEN|URI|URL", name)]


@every_workload
def test_pods_have_no_rights(each: Workload) -> None:
    pod, container = each.pod, each.container
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        **dict.fromkeys(["runAsUser", "runAsGroup", "fsGroup"], 10001),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    volumes = {volume.pop("name"): volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
    assert {"/tmp", "/home/crawler"} <= set(each.mounts)  # within the container
    for name in ("tmp", "work"):
        assert volumes.pop(name)["emptyDir"]["sizeLimit"]
    claims = {each["metadata"]["name"] for each in manifests() if "Claim" in each["kind"]}
    assert {volume["persistentVolumeClaim"]["claimName"] for volume in volumes.values()} <= claims


@every_workload
def test_pods_run_the_image_of_this_version_within_limits(each: Workload) -> None:
    assert each.container["image"] == f"ali1688-worker:{ali1688_spider.__version__}"
    resources = each.container["resources"]
    assert resources["requests"].keys() == resources["limits"].keys() == {"cpu", "memory"}


@every_workload
def test_services_put_no_variables_into_pods(each: Workload) -> None:
    assert each.pod["enableServiceLinks"] is False
    link = f"{service_name()}_PORT".upper().replace("-", "_")
    with pytest.raises(ConfigurationError, match=f"{link} is no setting"):
        check_command(["crawl", "product"], SECRETS | {link: "tcp://10.0.0.1:8088"})


@every_workload
def test_crawls_have_time_to_end(each: Workload) -> None:
    if each.container["args"][0] == "crawl":
        assert each.pod["terminationGracePeriodSeconds"] > longest_end()
        assert each.pod["shareProcessNamespace"] is True
        assert not {"livenessProbe", "readinessProbe", "startupProbe"} & each.container.keys()


def test_the_dashboard_is_asked_whether_it_is_well() -> None:
    (each,) = (each for each in workloads() if each.name == "ali1688-dashboard")
    for probe in ("livenessProbe", "readinessProbe"):
        assert each.container[probe]["httpGet"] == {"path": "/healthz", "port": "http"}


def test_one_report_at_a_time_by_the_days_of_the_platform() -> None:
    spec = find("CronJob", "ali1688-report")["spec"]
    assert (spec["concurrencyPolicy"], spec["timeZone"]) == ("Forbid", "Asia/Shanghai")


def test_kubectl_makes_the_secret_of_an_env_file(tmp_path: Any) -> None:
    kubectl = shutil.which("kubectl")
    if not kubectl:
        pytest.skip("kubectl is missing, which would make the Secret")
    file = tmp_path / ".env"
    lines = (FOLDER.parents[1] / ".env.example").read_text()
    for name, value in SECRETS.items():
        lines = re.sub(rf"(?m)^{name}=.*$", f"{name}={value}", lines)
    file.write_text(lines)
    create = [kubectl, "create", "secret", "generic", "ali1688", f"--from-env-file={file}"]
    made = subprocess.run(
        [*create, "--dry-run=client", "--output=yaml"], capture_output=True, text=True, check=True
    )
    data = yaml.safe_load(made.stdout)["data"]
    assert SECRETS.keys() <= data.keys() <= KNOWN_NAMES
