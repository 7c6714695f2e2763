"""Mistakes that `check` plants into copies of the files, each of which it must find: a check that cannot fail checks nothing."""

NATIVE = "native-sidecar.yaml"
PLAIN = "plain-sidecar.yaml"
COPIED = "plugin-from-image.yaml"
VOLUME = "plugin-from-image-volume.yaml"
PLUGINS_MOUNT = "              mountPath: /etc/pointsman/plugins\n"
APP_MOUNT = "              mountPath: /run/pointsman\n              readOnly: true\n"
CACHE = 'cache_dir = "/var/cache/pointsman/code"'
PASSWORD = '"sasl.password_file" = "/run/secrets/pointsman/kafka-password"'
# File, what is replaced (it must be there once), by what, and what must be said about it.
MISTAKES = [
    # What the schemas must find, unknown fields above all.
    (NATIVE, "GracePeriodSeconds: 60", "GracePeriodSecond: 60", "terminationGracePeriodSecond"),
    (NATIVE, "          livenessProbe:", "          livenesProbe:", "livenesProbe"),
    (NATIVE, "replicas: 2", 'replicas: "2"', "replicas"),
    (NATIVE, "replicas: 2", "replicas: 2\n  replicas: 3", "twice"),
    (VOLUME, "            reference: ", "            referense: ", "referense"),
    ("README.md", "kind: NetworkPolicy\nmetadata:", "kind: NetworkPolicy\nmetdata:", "metdata"),
    # Ports and probes.
    (NATIVE, '"0.0.0.0:8645"\n', '"0.0.0.0:9645"\n', "readinessProbe asks port 8645, but listen.admin is port 9645"),
    (NATIVE, '"0.0.0.0:8645"\n', '"127.0.0.1:8645"\n', "on loopback, where kubelet cannot reach it"),
    (NATIVE, "containerPort: 8645", "containerPort: 8646", "no containerPort is 8645"),
    (NATIVE, 'prometheus.io/port: "8645"', 'prometheus.io/port: "8644"', "prometheus.io/port is 8644"),
    (NATIVE, "              path: /live\n", "              path: /ready\n", "livenessProbe asks /ready"),
    (NATIVE, "    [kafka.properties]", "    ready_requires_kafka = true\n    [kafka.properties]", "a Kafka outage would"),
    # The socket, the plugins, compiled code, secrets.
    (NATIVE, '"/run/pointsman/ingest.sock"', '"/run/elsewhere/ingest.sock"', "is not an emptyDir that is mounted there"),
    (NATIVE, "--unix-socket /run/pointsman/", "--unix-socket /run/elsewhere/", "names another"),
    (NATIVE, APP_MOUNT, APP_MOUNT.replace("true", "false"), "could be replaced"),
    (NATIVE, PLUGINS_MOUNT, PLUGINS_MOUNT + "              subPath: by-customer.wasm\n", "uses subPath"),
    (COPIED, PLUGINS_MOUNT + "              readOnly: true\n", PLUGINS_MOUNT, "is writable"),
    (NATIVE, CACHE, 'cache_dir = "/var/cache/pointsman"', "use a folder inside it"),
    (NATIVE, CACHE, 'cache_dir = "/run/pointsman/code"', "another container mounts"),
    (NATIVE, PASSWORD, '"sasl.password" = "x"', "not a place for a secret"),
    (NATIVE, "                path: admin-token\n", "                path: token\n", "is not an item of a Secret"),
    (NATIVE, "name: pointsman-plugins", "name: plugins", "neither this file nor README.md makes"),
    (NATIVE, "/etc/pointsman/config/pointsman.toml", "/etc/pointsman/pointsman.toml", "is not a key of a ConfigMap"),
    ("README.md", "--from-file=kafka-password=", "--from-file=password=", "lacks kafka-password"),
    # The configuration itself.
    (NATIVE, "drain_ms = 25000", "drain_millis = 25000", "[shutdown] drain_millis is not a key"),
    (NATIVE, "drain_ms = 25000", "drain_ms =", "is not TOML"),
    # The order of starting and ending.
    (NATIVE, "GracePeriodSeconds: 60", "GracePeriodSeconds: 25", "expected at least 30"),
    (NATIVE, "          restartPolicy: Always\n", "", "is not a native sidecar"),
    (PLAIN, "    accept_grace_ms = 15000\n", "", "accept_grace_ms is 0"),
    (PLAIN, "accept_grace_ms = 15000", "accept_grace_ms = 45000", "expected at least 75"),
    (PLAIN, ', "--token-file", "/run/secrets/pointsman/admin-token"', "", "needs --token-file"),
    (PLAIN, '["/pointsman", "drain", ', '["/bin/sh", "-c", "sleep 10", ', "expected /pointsman drain"),
    # Who may do what.
    (NATIVE, "        fsGroup: 10000\n", "", "lacks fsGroup"),
    (NATIVE, "        runAsNonRoot: true\n", "", "lacks runAsNonRoot"),
    (NATIVE, "            runAsUser: 10001\n", "            runAsUser: 65532\n", "the same user as pointsman"),
    (VOLUME, "registry.example/pointsman:0.1.0", "elsewhere.example/pointsman:0.1.0", "is somebody's"),
    # Between files.
    (COPIED, 'cpu: "1"', 'cpu: "2"', "resources is not as in native-sidecar.yaml"),
    (COPIED, 'topics = ["orders"]', 'topics = ["order"]', "only [shutdown] may differ"),
    ("Dockerfile", "USER 65532:65532", "USER nonroot", "USER is not the runAsUser"),
    ("Dockerfile", "/rust:", "/rust:0.", "the toolchain of rust-toolchain.toml"),
]
