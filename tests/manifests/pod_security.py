"""Kubernetes' Pod Security Standard `restricted`, as of 1.37, for pods as plain data.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/. Each rule yields what
is wrong with a pod; a pod without findings is admitted in a namespace that enforces `restricted`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Pod = Mapping[str, Any]

VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip
SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}
SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
PROFILES = {"RuntimeDefault", "Localhost"}
APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"


def findings(pod: Pod) -> list[str]:
    """All that `restricted` holds against ``pod``: an object with metadata and spec."""
    spec = pod.get("spec") or {}
    found = [*_pod(spec), *_annotations(pod.get("metadata") or {})]
    inherited = spec.get("securityContext") or {}
    is_windows = (spec.get("os") or {}).get("name") == "windows"
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or []:
            rules = [*_container(container), *_either(container, inherited, is_windows, spec)]
            found += [f"{container.get('name')}: {rule}" for rule in rules]
    return found


def _pod(spec: Pod) -> Iterator[str]:
    context = spec.get("securityContext") or {}
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield f"{name} is true"
    for volume in spec.get("volumes") or []:
        for kind in volume.keys() - {"name"} - VOLUMES:
            yield f"volume {volume['name']} is a {kind}"
    for sysctl in context.get("sysctls") or []:
        if sysctl["name"] not in SYSCTLS:
            yield f"sysctl {sysctl['name']}"
    yield from _context(context)


def _context(context: Pod) -> Iterator[str]:
    """What neither a pod's nor a container's security context may hold."""
    options = context.get("seLinuxOptions") or {}
    if options.get("type", "") not in SELINUX_TYPES or options.get("user") or options.get("role"):
        yield f"seLinuxOptions {options}"
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield "windowsOptions.hostProcess"
    for profile in ("appArmorProfile", "seccompProfile"):
        given = context.get(profile)
        if given and given.get("type") not in PROFILES:
            yield f"{profile} {given.get('type')}"
    if context.get("runAsUser") == 0:
        yield "runAsUser is 0"


def _annotations(metadata: Pod) -> Iterator[str]:
    for key, value in (metadata.get("annotations") or {}).items():
        allowed = value in ("", "runtime/default") or value.startswith("localhost/")
        if key.startswith(APPARMOR_ANNOTATION) and not allowed:
            yield f"annotation {key}={value}"


def _container(container: Pod) -> Iterator[str]:
    context = container.get("securityContext") or {}
    yield from _context(context)
    if context.get("privileged"):
        yield "privileged"
    if context.get("procMount", "Default") != "Default":
        yield f"procMount {context['procMount']}"
    for port in container.get("ports") or []:
        if port.get("hostPort"):
            yield f"hostPort {port['hostPort']}"
    added = set((context.get("capabilities") or {}).get("add") or [])
    if added - {"NET_BIND_SERVICE"}:
        yield f"capabilities added: {sorted(added)}"
    lifecycle = container.get("lifecycle") or {}
    handlers = [container.get(f"{kind}Probe") for kind in ("liveness", "readiness", "startup")]
    for handler in (*handlers, lifecycle.get("postStart"), lifecycle.get("preStop")):
        for kind in ("httpGet", "tcpSocket"):
            if ((handler or {}).get(kind) or {}).get("host"):
                yield f"a probe or hook asks the host {handler[kind]['host']}"


def _either(container: Pod, inherited: Pod, is_windows: bool, spec: Pod) -> Iterator[str]:
    """What a container must say itself, or its pod for it."""
    context = container.get("securityContext") or {}
    if not is_windows:
        if context.get("allowPrivilegeEscalation") is not False:
            yield "allowPrivilegeEscalation is not false"
        if "ALL" not in ((context.get("capabilities") or {}).get("drop") or []):
            yield "capabilities are not dropped: drop [ALL]"
        if not context.get("seccompProfile") and not inherited.get("seccompProfile"):
            yield "no seccompProfile"
    if context.get("runAsNonRoot", inherited.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot is not true"
