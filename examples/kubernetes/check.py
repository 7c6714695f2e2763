"""What `check` runs: reads the manifests, and says of each mistake in which file and container it is and what to do.

A schema knows neither the configuration that a ConfigMap carries nor how two containers of a pod depend on one another;
the functions after `schemas` know that. Each returns its findings as texts. `self_test` plants mistakes into copies.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath

import kubernetes_validate
import yaml
from planted import MISTAKES, VOLUME
from with_sidecar import start

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).resolve().parent
CONFIGURATION = HERE / "../../docs/configuration.md"
TOOLCHAIN = HERE / "../../rust-toolchain.toml"

# What each file is for, and the versions whose schemas it must fit: the oldest one that it names, and the newest there is.
NEWEST = "1.37"
FILES = {
    "native-sidecar.yaml": ("native", ["1.29", NEWEST]),
    "plain-sidecar.yaml": ("plain", ["1.25", "1.28", NEWEST]),
    "plugin-from-image.yaml": ("native", ["1.29", NEWEST]),
    "plugin-from-image-volume.yaml": ("native", ["1.33", NEWEST]),
}
# What README.md makes by a command.
MADE_BY_HAND = {("ConfigMap", "pointsman-plugins"), ("Secret", "pointsman")}
# Between the end of the drain and SIGKILL: the last answers, the client library's end, a slow machine.
MARGIN_MS = 5_000
# What the admin listener serves without a token off loopback, by probe.
PROBES = {"startupProbe": "/ready", "readinessProbe": "/ready", "livenessProbe": "/live"}


class Loader(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys, and the API server refuses both."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} is there twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load(text):
    return [document for document in yaml.load_all(text, Loader) if document]


# --- Against the schemas ------------------------------------------------------------------------------------------------


def schemas(documents, versions):
    for document in documents:
        for version in versions:
            name = f"{document.get('kind')}/{document.get('metadata', {}).get('name')}"
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                where = ".".join(str(step) for step in error.path) or "the document"
                yield f"{name}: {where}: {error.message} (schema of {version})"
            except kubernetes_validate.SchemaNotFoundError as error:
                yield f"{name}: {error.message}"


# --- What a file holds ---------------------------------------------------------------------------------------------------


class Pod:
    """The pod of a file's Deployment, its Pointsman container, and the configuration that this one reads."""

    def __init__(self, documents):
        self.documents = documents
        deployments = [d for d in documents if d["kind"] == "Deployment"]
        if len(deployments) != 1:
            raise Broken(f"there are {len(deployments)} Deployments, expected one")
        self.template = deployments[0]["spec"]["template"]
        self.spec = self.template["spec"]
        self.init = self.spec.get("initContainers", [])
        self.apps = [c for c in self.spec["containers"] if c["name"] != "pointsman"]
        self.all = self.init + self.spec["containers"]
        found = [c for c in self.all if c["name"] == "pointsman"]
        if len(found) != 1:
            raise Broken(f"there are {len(found)} containers called pointsman, expected one")
        self.pointsman = found[0]
        self.volumes = {volume["name"]: volume for volume in self.spec.get("volumes", [])}
        self.config_map, self.text = self._configuration()
        try:
            self.config = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise Broken(f"ConfigMap/{self.config_map}: pointsman.toml is not TOML: {error}") from None

    def _configuration(self):
        args = self.pointsman.get("args", [])
        if args[:2] != ["run", "--config"] or len(args) != 3:
            raise Broken(f"pointsman: args are {args}, expected run, --config and a path")
        mount, inside = self.mount_of(self.pointsman, args[2])
        volume = self.volumes.get(mount["name"], {}) if mount else {}
        name = volume.get("configMap", {}).get("name")
        for document in self.documents:
            if document["kind"] == "ConfigMap" and document["metadata"]["name"] == name:
                if str(inside) in document.get("data", {}):
                    return name, document["data"][str(inside)]
        raise Broken(f"pointsman: {args[2]} is not a key of a ConfigMap of this file that is mounted there")

    def get(self, table, key, default=None):
        return self.config.get(table, {}).get(key, default)

    @staticmethod
    def mount_of(container, path):
        """The innermost mount that holds the path, and the path inside it."""
        path = PurePosixPath(path)
        mounts = [m for m in container.get("volumeMounts", []) if path.is_relative_to(m["mountPath"])]
        if not mounts:
            return None, None
        mount = max(mounts, key=lambda m: len(PurePosixPath(m["mountPath"]).parts))
        return mount, path.relative_to(mount["mountPath"])

    def others_with(self, volume):
        """The other containers that mount this volume."""
        return [
            container
            for container in self.all
            if container is not self.pointsman and any(m["name"] == volume for m in container.get("volumeMounts", []))
        ]


class Broken(Exception):
    """So wrong that nothing else can be checked."""


# --- Within a pod --------------------------------------------------------------------------------------------------------


def mounts(pod, _variant):
    used = set()
    for container in pod.all:
        for mount in container.get("volumeMounts", []):
            used.add(mount["name"])
            at = f"{container['name']}: the mount at {mount['mountPath']}"
            if mount["name"] not in pod.volumes:
                yield f"{at} names the volume {mount['name']}, which the pod does not have"
            if "subPath" in mount or "subPathExpr" in mount:
                yield f"{at} uses subPath, and would never see a change; mount the folder"
    for name in pod.volumes.keys() - used:
        yield f"the volume {name} is mounted nowhere; remove it"
    known = {(d["kind"], d["metadata"]["name"]) for d in pod.documents} | MADE_BY_HAND
    for volume in pod.volumes.values():
        for kind, source, key in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
            if source in volume and (kind, volume[source][key]) not in known:
                made = f"{kind}/{volume[source][key]}"
                yield f"the volume {volume['name']} is {made}, which neither this file nor README.md makes"


def security(pod, _variant):
    context = pod.spec.get("securityContext", {})
    expected = {
        "runAsNonRoot": context.get("runAsNonRoot") is True,
        "fsGroup": isinstance(context.get("fsGroup"), int) and context["fsGroup"] > 0,
        "seccompProfile.type: RuntimeDefault": context.get("seccompProfile", {}).get("type") == "RuntimeDefault",
    }
    for what, there in expected.items():
        if not there:
            yield f"the pod's securityContext lacks {what}"
    if pod.spec.get("automountServiceAccountToken") is not False:
        yield "the pod gets a token of the API server; set automountServiceAccountToken: false"
    for container in pod.all:
        context = container.get("securityContext", {})
        expected = {
            "allowPrivilegeEscalation: false": context.get("allowPrivilegeEscalation") is False,
            "readOnlyRootFilesystem: true": context.get("readOnlyRootFilesystem") is True,
            "capabilities that drop ALL and add none": context.get("capabilities") == {"drop": ["ALL"]},
            "a runAsUser other than 0": context.get("runAsUser", 0) > 0,
        }
        for what, there in expected.items():
            if not there:
                yield f"{container['name']}: the securityContext lacks {what}"
        if context.get("privileged") or "seccompProfile" in context or context.get("runAsNonRoot") is False:
            yield f"{container['name']}: the securityContext takes back what the pod's says"
        for kind in ("requests", "limits"):
            if not {"cpu", "memory"} <= container.get("resources", {}).get(kind, {}).keys():
                yield f"{container['name']}: resources.{kind} lacks cpu or memory"
        if not container["image"].startswith("registry.example/"):
            yield f"{container['name']}: the image {container['image']} is somebody's; use registry.example/…"
    for app in pod.apps:
        if app.get("securityContext", {}).get("runAsUser") == pod.pointsman.get("securityContext", {}).get("runAsUser"):
            yield f"{app['name']}: it is the same user as pointsman, and could change its compiled code"


def order(pod, variant):
    """When Pointsman starts and ends, compared with the application."""
    native = any(c is pod.pointsman for c in pod.init)
    hook = pod.pointsman.get("lifecycle", {}).get("preStop")
    grace = pod.get("shutdown", "accept_grace_ms", 0)
    if variant == "native":
        if not native or pod.pointsman.get("restartPolicy") != "Always":
            yield "pointsman: it is not a native sidecar, which is an init container with restartPolicy: Always"
        if hook:
            yield "pointsman: a preStop hook runs while the application still produces; remove it"
        if grace:
            yield "accept_grace_ms only makes the end longer here: SIGTERM comes when the application has stopped"
        return
    if native or "restartPolicy" in pod.pointsman:
        yield "pointsman: clusters before 1.29 know no native sidecars, expected an ordinary container"
    if grace <= 0:
        yield "accept_grace_ms is 0: the application could produce nothing more from SIGTERM on"
    command = (hook or {}).get("exec", {}).get("command", [])
    if command[:2] != ["/pointsman", "drain"]:
        yield f"pointsman: the preStop hook is {command}, expected /pointsman drain"
    elif not loopback(pod) and command[2:] != ["--token-file", pod.get("listen", "admin_token_file")]:
        yield "pointsman: the preStop hook needs --token-file with the path of listen.admin_token_file"


def time_to_end(pod, _variant):
    given = pod.spec.get("terminationGracePeriodSeconds", 30) * 1_000
    needed = pod.get("shutdown", "drain_ms", 25_000) + pod.get("shutdown", "accept_grace_ms", 0) + MARGIN_MS
    if given < needed:
        yield (
            f"terminationGracePeriodSeconds is {given // 1_000}, expected at least {needed // 1_000}: accept_grace_ms, "
            "drain_ms and 5 s"
        )


def loopback(pod):
    return pod.get("listen", "admin", "127.0.0.1:8645").startswith(("127.", "[::1]"))


def probes(pod, _variant):
    admin = int(pod.get("listen", "admin", "127.0.0.1:8645").rpartition(":")[2])
    if loopback(pod):
        yield "listen.admin is on loopback, where kubelet cannot reach it; use 0.0.0.0 or [::]"
    names = {port.get("name"): port["containerPort"] for port in pod.pointsman.get("ports", [])}
    if admin not in names.values():
        yield f"pointsman: no containerPort is {admin}, the port of listen.admin"
    for probe, path in PROBES.items():
        asked = pod.pointsman.get(probe, {}).get("httpGet", {})
        if asked.get("path") != path:
            yield f"pointsman: {probe} asks {asked.get('path')}, expected {path}"
        port = names.get(asked.get("port"), asked.get("port"))
        if port != admin:
            yield f"pointsman: {probe} asks port {port}, but listen.admin is port {admin}"
    port = pod.template["metadata"].get("annotations", {}).get("prometheus.io/port")
    if port != str(admin):
        yield f"the annotation prometheus.io/port is {port}, but listen.admin is port {admin}"
    if pod.get("kafka", "ready_requires_kafka", False):
        yield "ready_requires_kafka is true: a Kafka outage would take every pod out of its Service"


def socket(pod, _variant):
    path = pod.get("listen", "unix")
    if not path:
        yield "listen.unix is missing: the socket is what the application produces through"
        return
    mount, inside = pod.mount_of(pod.pointsman, path)
    if not mount or len(inside.parts) != 1 or "emptyDir" not in pod.volumes.get(mount["name"], {}):
        yield f"listen.unix: the folder of {path} is not an emptyDir that is mounted there"
        return
    sharing = [app for app in pod.apps if app in pod.others_with(mount["name"])]
    if not sharing:
        yield f"listen.unix: no other container mounts the volume {mount['name']}, so nobody reaches the socket"
    for app in sharing:
        at = next(m for m in app["volumeMounts"] if m["name"] == mount["name"])
        there = str(PurePosixPath(at["mountPath"]) / inside)
        if there not in json.dumps([app.get("command"), app.get("args"), app.get("env")]):
            yield f"{app['name']}: it has the socket at {there}, and names another"
        if not at.get("readOnly"):
            yield f"{app['name']}: the socket's folder is writable, so the socket could be replaced; set readOnly: true"


def plugin_folders(pod, _variant):
    folder = pod.get("plugins", "dir")
    mount, _ = pod.mount_of(pod.pointsman, folder or "")
    if not mount:
        yield f"plugins.dir: {folder} is in no mount of pointsman"
    elif not mount.get("readOnly"):
        yield f"plugins.dir: the mount at {mount['mountPath']} is writable; set readOnly: true"
    elif any(app in pod.apps for app in pod.others_with(mount["name"])):
        yield f"plugins.dir: the application mounts the volume {mount['name']} as well"
    cache = pod.get("plugins", "cache_dir")
    mount, inside = pod.mount_of(pod.pointsman, cache or "")
    if not mount or "emptyDir" not in pod.volumes.get(mount["name"], {}):
        yield f"plugins.cache_dir: {cache} is in no emptyDir of pointsman; every start would compile anew"
    elif not inside.parts:
        yield f"plugins.cache_dir: {cache} is the volume itself, which the pod's group can write; use a folder inside it"
    elif pod.others_with(mount["name"]):
        yield f"plugins.cache_dir: {cache} is in a volume that another container mounts"


def named_files(pod, _variant):
    """The files that the configuration names: each a key of the Secret that is mounted there."""
    properties = pod.get("kafka", "properties", {})
    named = {f"listen.{key}": value for key, value in pod.config.get("listen", {}).items() if key.endswith("_file")}
    named |= {key: value for key, value in properties.items() if key.endswith(("_file", ".location"))}
    for key, path in named.items():
        mount, inside = pod.mount_of(pod.pointsman, path)
        secret = pod.volumes.get(mount["name"], {}).get("secret", {}) if mount else {}
        if str(inside) not in [item["path"] for item in secret.get("items", [])]:
            yield f"{key}: {path} is not an item of a Secret that pointsman mounts there"
    for key in properties:
        if key.endswith(("password", "jaas.config")):
            yield f"{key} is in the ConfigMap, which is not a place for a secret; use {key}_file"


def keys(pod, _variant):
    known = listed_keys()
    for table, content in pod.config.items():
        for entry in content if isinstance(content, list) else [content]:
            for key in entry:
                if key not in known.get(table, set()) and table != "kafka.properties":
                    yield f"[{table}] {key} is not a key of docs/configuration.md"


def listed_keys():
    """Table and keys of the configuration that the manual lists, those that are commented out included."""
    listing = CONFIGURATION.read_text().split("```toml\n")[1].split("```")[0]
    known, table = {}, None
    for line in listing.splitlines():
        if heading := re.match(r"\[+([\w.]+)\]+", line):
            table = known.setdefault(heading[1], set())
            # [kafka.properties] is a key of [kafka], too.
            parent, _, key = heading[1].rpartition(".")
            if parent:
                known[parent].add(key)
        elif key := re.match(r"(?:# )?(\w+) = ", line):
            table.add(key[1])
    return known


WITHIN = [mounts, security, order, time_to_end, probes, socket, plugin_folders, named_files, keys]


# --- Over all files ------------------------------------------------------------------------------------------------------


def alike(pods):
    """The variants differ where they must, and nowhere by accident."""
    first = next(iter(pods))
    same = ("image", "args", "ports", "securityContext", "resources", *PROBES)
    for name, pod in pods.items():
        for key in same:
            if pod.pointsman.get(key) != pods[first].pointsman.get(key):
                yield f"{name}: pointsman's {key} is not as in {first}"
        config = {table: content for table, content in pod.config.items() if table != "shutdown"}
        if config != {table: content for table, content in pods[first].config.items() if table != "shutdown"}:
            yield f"{name}: the configuration is not as in {first}; only [shutdown] may differ"


def image(folder, pods):
    text = (folder / "Dockerfile").read_text()
    toolchain = tomllib.loads(TOOLCHAIN.read_text())["toolchain"]["channel"]
    if f"/rust:{toolchain}-bookworm AS " not in text:
        yield f"Dockerfile: the builder is not rust:{toolchain}-bookworm, the toolchain of rust-toolchain.toml"
    user = re.search(r"(?m)^USER (\d+):\d+$", text)
    for name, pod in pods.items():
        if not user or int(user[1]) != pod.pointsman["securityContext"].get("runAsUser"):
            yield f"Dockerfile: USER is not the runAsUser of {name}"
    if 'ENTRYPOINT ["/pointsman"]' not in text:
        yield 'Dockerfile: the entry point is not ["/pointsman"], which the manifests and the preStop hook expect'
    if "target" not in (folder / "Dockerfile.dockerignore").read_text():
        yield "Dockerfile.dockerignore lets the build folder in"


def readme(folder, pods):
    """The manifests that README.md shows, and the Secret that it makes."""
    text = (folder / "README.md").read_text()
    secrets = [v["secret"] for pod in pods.values() for v in pod.volumes.values() if "secret" in v]
    items = {item["key"] for secret in secrets for item in secret.get("items", [])}
    for key in sorted(items):
        if f"--from-file={key}=" not in text:
            yield f"README.md: the Secret that it makes lacks {key}, which the pods mount"
    for block in re.findall(r"```yaml\n(.*?)```", text, re.S):
        documents = load(block)
        if all(isinstance(document, dict) and "apiVersion" in document for document in documents):
            for finding in schemas(documents, ["1.29", NEWEST]):
                yield f"README.md: {finding}"


def plugin_configmap(folder):
    """The script that makes the ConfigMap of plugins: what it writes, and what it refuses."""
    with tempfile.TemporaryDirectory() as work:
        component = bytes.fromhex("0061736d0d000100")
        small, large, module = (Path(work) / f"{name}.wasm" for name in ("by-customer", "large", "module"))
        small.write_bytes(component + b"rest")
        large.write_bytes(component + bytes(1 << 20))
        module.write_bytes(bytes.fromhex("0061736d01000000"))

        def run(*files):
            command = [folder / "plugin-configmap", "pointsman-plugins", *files]
            return subprocess.run(command, capture_output=True, text=True)

        written = run(small)
        if written.returncode != 0:
            yield f"plugin-configmap fails: {written.stderr.strip()}"
        else:
            documents = load(written.stdout)
            for finding in schemas(documents, ["1.25", NEWEST]):
                yield f"plugin-configmap: {finding}"
            if list(documents[0]["binaryData"]) != ["by-customer.wasm"]:
                yield "plugin-configmap: the file's name is not the key"
        none = Path(work) / "none.wasm"
        for file, why in ((large, "do not fit"), (module, "no WebAssembly component"), (none, "no file")):
            refused = run(file)
            if refused.returncode == 0 or why not in refused.stderr:
                yield f"plugin-configmap: {file.name} is not refused with '{why}'"


def findings(folder):
    """Everything that is wrong in a folder, each with its file's name."""
    pods = {}
    for name, (variant, versions) in FILES.items():
        try:
            documents = load((folder / name).read_text())
        except yaml.YAMLError as error:
            yield f"{name}: {str(error).replace(chr(10), ' ')}"
            continue
        wrong = list(schemas(documents, versions))
        yield from (f"{name}: {finding}" for finding in wrong)
        if wrong:
            # The rest relies on the shape that the schemas grant.
            continue
        try:
            pod = pods[name] = Pod(documents)
        except Broken as error:
            yield f"{name}: {error}"
            continue
        for rule in WITHIN:
            yield from (f"{name}: {finding}" for finding in rule(pod, variant))
    if pods:
        yield from alike(pods)
        yield from image(folder, pods)
    yield from readme(folder, pods)
    yield from plugin_configmap(folder)


# --- Planted mistakes ----------------------------------------------------------------------------------------------------


def self_test():
    """Texts about mistakes that were not found, or could not be planted."""
    with tempfile.TemporaryDirectory() as work:
        for index, (name, old, new, expected) in enumerate(MISTAKES):
            folder = Path(work) / str(index)
            shutil.copytree(HERE, folder)
            text = (folder / name).read_text()
            if text.count(old) != 1:
                yield f"{name}: {old!r} is there {text.count(old)} times, so the mistake cannot be planted"
                continue
            (folder / name).write_text(text.replace(old, new))
            found = list(findings(folder))
            if not any(finding.startswith(name) and expected in finding for finding in found):
                yield f"{name}: with {new!r} for {old!r} nothing says '{expected}', but: {found}"
    # Where image volumes are not known, their file must not pass.
    documents = load((HERE / VOLUME).read_text())
    if not any("image" in finding for finding in schemas(documents, ["1.30"])):
        yield f"{VOLUME}: the schemas of 1.30 know image volumes, or unknown fields pass"


def main():
    asked = sys.argv[1:] or ["--manifests", "--self-test"]
    if not set(asked) <= {"--manifests", "--self-test"}:
        sys.exit("check: usage: examples/kubernetes/check [--manifests | --self-test]")
    wrong = []
    if "--manifests" in asked:
        wrong = list(findings(HERE))
        program = os.environ.get("POINTSMAN")
        if program and not wrong:
            for name in FILES:
                wrong += start(os.path.abspath(program), name, Pod(load((HERE / name).read_text())))
        for finding in wrong:
            print(f"check: {finding}", file=sys.stderr)
        if not wrong:
            how = "and a sidecar ran with each configuration" if program else "their configuration's keys by the manual"
            print(f"✓ {len(FILES)} manifests checked, {how}")
    if "--self-test" in asked and not wrong:
        missed = list(self_test())
        for finding in missed:
            print(f"check: self-test: {finding}", file=sys.stderr)
        if not missed:
            print(f"✓ {len(MISTAKES) + 1} planted mistakes found")
        wrong += missed
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
