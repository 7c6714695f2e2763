//! Checks what the types alone cannot say: keys that depend on one another, secrets in files, the Kafka block.

use std::{collections::BTreeMap, fs, ops::RangeInclusive, path::Path};

use super::{Config, ConfigError, Limits, Loaded, Route, Source, java_properties, kafka_properties};
use crate::config::findings::Findings;

/// All routes may be tried for the first record of a topic, and each plugin among them has metrics of its own.
const MAX_ROUTES: usize = 1_000;
/// Less memory would refuse numbered requests of a few hundred records.
const MIN_CLIENT_MEMORY: usize = 256 << 10;
/// Each takes threads, and memory at every broker. More have not been faster.
const BROKER_CONNECTIONS: RangeInclusive<usize> = 1..=16;

/// Checks and completes a configuration. The error is the first mistake.
pub(super) fn finish(source: &Source, config: Config) -> Result<Loaded, ConfigError> {
    let mut found = Findings::new(source);
    let loaded = look_over(config, &mut found);
    match found.mistakes.into_iter().next() {
        Some(first) => Err(first),
        None => Ok(loaded),
    }
}

/// Checks everything, and completes what can be completed.
pub(super) fn look_over(mut config: Config, found: &mut Findings<'_>) -> Loaded {
    let source = found.source;
    listen(&config, found);
    found.take(properties_file(source, &mut config));
    let kafka = kafka(&mut config, found);
    limits(&config.limits, found);
    plugins(&config, found);
    if let Some(routing) = &config.routing {
        super::routing::check(routing, found);
    }
    super::schemas::check(config.schema_registry.as_ref(), found);
    if config.routes.is_empty() {
        config.routes.push(Route::everything());
    }
    if config.routes.len() > MAX_ROUTES {
        let routes = config.routes.len();
        found.add(&["route"], format!("there are {routes}, expected at most {MAX_ROUTES}"));
    }
    for (index, route) in config.routes.iter().enumerate() {
        self::route(index, route, found);
        super::schemas::check_parts(index, route.parts(), &config.schema_registry, found);
    }
    pins(&config.routes, found);
    super::log_level::check(&config.log.level, found);
    let token_file = config.listen.token_file.as_deref();
    let token = found.take(token(source, "token_file", token_file)).flatten();
    let admin_token = found.take(token_of_admin(source, &config)).flatten();
    Loaded {
        config,
        kafka,
        token,
        admin_token,
    }
}

fn listen(config: &Config, found: &mut Findings<'_>) {
    let listen = &config.listen;
    if listen.unix.is_none() && listen.http.is_none() && listen.kafka.is_none() {
        found.add(
            &["listen"],
            "nothing to listen on, expected unix = \"<path>\", http = \"<ip:port>\" or kafka = \"<ip:port>\"",
        );
    }
    if listen.apis.is_empty() {
        found.add(
            &["listen", "apis"],
            "it names no protocol, expected one or more of native, grpc, cloudevents, dapr and confluent-v2",
        );
    }
    if listen.allow_uids.is_some() && listen.unix.is_none() {
        found.add(
            &["listen", "allow_uids"],
            "it is for the Unix socket, expected unix = \"<path>\" beside it",
        );
    }
    for (key, address) in [("http", listen.http), ("kafka", listen.kafka)] {
        if let Some(address) = address
            && !address.ip().is_loopback()
            && listen.token_file.is_none()
        {
            found.add(
                &["listen", key],
                format!("{address} is reachable from other machines, expected loopback, or token_file beside it"),
            );
        }
    }
    if !(1..=1_000).contains(&listen.kafka_partitions) {
        found.add(
            &["listen", "kafka_partitions"],
            format!("invalid value {}, expected 1 to 1000", listen.kafka_partitions),
        );
    }
}

fn token(source: &Source, key: &str, file: Option<&Path>) -> Result<Option<String>, ConfigError> {
    let Some(file) = file else { return Ok(None) };
    let token = secret_file(source, &["listen", key], file)?;
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(source.error(
            &["listen", key],
            format!("{} holds no token, expected visible ASCII characters", file.display()),
        ));
    }
    Ok(Some(token))
}

fn token_of_admin(source: &Source, config: &Config) -> Result<Option<String>, ConfigError> {
    token(source, "admin_token_file", config.listen.admin_token_file.as_deref())
}

fn secret_file(source: &Source, key: &[&str], file: &Path) -> Result<String, ConfigError> {
    let text = fs::read_to_string(file).map_err(|error| {
        source.error(
            key,
            format!("cannot read {} ({error}), expected a readable file", file.display()),
        )
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn properties_file(source: &Source, config: &mut Config) -> Result<(), ConfigError> {
    let Some(file) = &config.kafka.properties_file else {
        return Ok(());
    };
    let key = ["kafka", "properties_file"];
    let text = secret_file(source, &key, file)?;
    let pairs = java_properties::parse(&text)
        .map_err(|problem| source.error(&key, format!("{}: {problem}", file.display())))?;
    for (name, value) in pairs {
        config.kafka.properties.0.entry(name).or_insert(value);
    }
    Ok(())
}

fn kafka(config: &mut Config, found: &mut Findings<'_>) -> kafka_properties::Translated {
    if !BROKER_CONNECTIONS.contains(&config.kafka.broker_connections) {
        let (least, most) = (BROKER_CONNECTIONS.start(), BROKER_CONNECTIONS.end());
        found.add(&["kafka", "broker_connections"], format!("expected {least} to {most}"));
    }
    let embedded = config.kafka.is_embedded();
    let raw = resolve_secrets(&config.kafka.properties.0, found);
    let (mut translated, refused) = kafka_properties::translate_all(&raw, config.kafka.ordering);
    for problem in refused {
        // If the file of a secret cannot be read, that mistake is enough: the stand-in value must not cause another.
        let file = format!("kafka.properties.{}_file", problem.key);
        if found.mistakes.iter().all(|mistake| mistake.key.as_ref() != Some(&file)) {
            found.add(&["kafka", "properties", &problem.key], problem.to_string());
        }
    }
    let pasted = translated.properties.remove("bootstrap.servers");
    let servers = &mut config.kafka.bootstrap_servers;
    match (servers.as_deref(), pasted) {
        (None, Some(pasted)) => *servers = Some(pasted),
        (Some(given), Some(pasted)) if given != pasted && !embedded => found.add(
            &["kafka", "bootstrap_servers"],
            format!("\"{given}\" here, \"{pasted}\" in properties: keep one of them"),
        ),
        _ => {}
    }
    match servers.as_deref().map(str::trim) {
        None | Some("") => found.add(
            &["kafka", "bootstrap_servers"],
            "missing, expected \"host:port,…\", or \"embedded\" (run --embedded) for a broker in this process that keeps nothing",
        ),
        Some("embedded") if translated.properties.get("security.protocol").is_some_and(|p| p != "plaintext") => found.add(
            &["kafka", "properties", "security.protocol"],
            "the embedded broker speaks plaintext only, expected no security.protocol beside it",
        ),
        Some(_) if embedded => {}
        Some(servers) => {
            let servers = servers.to_owned();
            translated.properties.insert("bootstrap.servers".to_owned(), servers);
        }
    }
    adopt_limits(&mut config.limits, &translated);
    translated
}

/// The Java producer's two limits on admission become limits of this process. librdkafka's own queue must never be
/// full, since it would refuse in the middle of a request.
fn adopt_limits(limits: &mut Limits, translated: &kafka_properties::Translated) {
    if let Some(bytes) = translated.buffer_memory {
        limits.max_buffered_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    if let Some(wait) = translated.max_block_ms {
        limits.max_wait_ms = wait;
    }
}

/// `sasl.password_file = "/run/secrets/kafka"` stands for `sasl.password` with the file's text.
fn resolve_secrets(raw: &BTreeMap<String, String>, found: &mut Findings<'_>) -> BTreeMap<String, String> {
    let mut resolved = BTreeMap::new();
    for (key, value) in raw {
        let Some(base) = key
            .strip_suffix("_file")
            .filter(|base| kafka_properties::is_secret(base))
        else {
            resolved.insert(key.clone(), value.clone());
            continue;
        };
        let path = ["kafka", "properties", key];
        if raw.contains_key(base) {
            found.add(&path, format!("\"{base}\" is given too: keep one of them"));
            continue;
        }
        let secret = secret_file(found.source, &path, Path::new(value));
        // A stand-in for a secret that cannot be read, so that the settings around it can still be checked.
        let secret = found.take(secret).unwrap_or_else(|| "unread".to_owned());
        resolved.insert(base.to_owned(), secret);
    }
    resolved
}

fn limits(limits: &Limits, found: &mut Findings<'_>) {
    let positive = [
        ("max_body_bytes", limits.max_body_bytes),
        ("max_records", limits.max_records),
        ("max_connections", limits.max_connections),
        ("max_requests", limits.requests()),
        ("max_buffered_bytes", limits.max_buffered_bytes),
        ("max_topics", limits.max_topics),
        ("json_depth", limits.json_depth),
        ("max_clients", limits.max_clients),
        ("client_window", limits.client_window),
    ];
    for (key, value) in positive {
        if value == 0 {
            found.add(&["limits", key], "0 would refuse everything, expected at least 1");
        }
    }
    if limits.max_header_bytes < 1024 {
        found.add(&["limits", "max_header_bytes"], "expected at least 1024");
    }
    if limits.client_memory_bytes < MIN_CLIENT_MEMORY {
        found.add(
            &["limits", "client_memory_bytes"],
            format!("expected at least {MIN_CLIENT_MEMORY}"),
        );
    }
    if limits.max_records > 1_000_000 {
        found.add(&["limits", "max_records"], "expected at most 1000000");
    }
    // Permits are counted in 32 bits, and a whole Content-Length may be reserved at once.
    if limits.max_buffered_bytes > u32::MAX as usize {
        found.add(&["limits", "max_buffered_bytes"], "expected at most 4294967295 (4 GiB)");
    }
    if limits.max_body_bytes > limits.max_buffered_bytes / 2 {
        found.add(
            &["limits", "max_body_bytes"],
            format!(
                "{} is over half of max_buffered_bytes ({}, or buffer.memory), which is what bodies being read may hold; \
                 expected a smaller body or a larger buffer",
                limits.max_body_bytes, limits.max_buffered_bytes
            ),
        );
    }
}

fn plugins(config: &Config, found: &mut Findings<'_>) {
    let plugins = &config.plugins;
    if plugins.memory_bytes < 1 << 20 {
        found.add(&["plugins", "memory_bytes"], "expected at least 1048576 (1 MiB)");
    }
    for (key, value) in [
        ("call_cpu_ms", plugins.call_cpu_ms),
        ("call_wall_ms", plugins.call_wall_ms),
        ("configure_ms", plugins.configure_ms),
        ("compile_cpu_ms", plugins.compile_cpu_ms),
        ("max_traps", plugins.max_traps as u64),
        ("suspend_ms", plugins.suspend_ms),
    ] {
        if value == 0 {
            found.add(&["plugins", key], "0 would stop every call, expected at least 1");
        }
    }
    if plugins.max_traps > 10_000 {
        found.add(&["plugins", "max_traps"], "expected at most 10000");
    }
    if plugins.poll_ms < 10 {
        found.add(&["plugins", "poll_ms"], "expected at least 10");
    }
    if plugins.compile_memory_bytes < 16 << 20 {
        found.add(
            &["plugins", "compile_memory_bytes"],
            "expected at least 16777216 (16 MiB)",
        );
    }
    cache_dir(config, found);
}

/// A user who can write to the folder of compiled code can run code in this process. So the folder must not be one that
/// is shared with the application.
fn cache_dir(config: &Config, found: &mut Findings<'_>) {
    let Some(cache) = &config.plugins.cache_dir else {
        return;
    };
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let cache = absolute(cache);
    let shared = [
        ("plugins.dir", Some(config.plugins.dir.as_path())),
        (
            "the folder of listen.unix",
            config.listen.unix.as_deref().and_then(Path::parent),
        ),
    ];
    for (what, folder) in shared {
        if let Some(folder) = folder.map(absolute)
            && cache.starts_with(&folder)
        {
            found.add(
                &["plugins", "cache_dir"],
                format!(
                    "it lies in {} ({what}), which others can write, expected a folder of this process's own",
                    folder.display()
                ),
            );
        }
    }
}

fn route(index: usize, route: &Route, found: &mut Findings<'_>) {
    let index = index.to_string();
    let mut add = |key, message: String| found.add(&["route", &index, key], message);
    if route.topics.is_empty() {
        add(
            "topics",
            "expected at least one topic or glob, such as \"orders\" or \"*\"".to_owned(),
        );
    }
    for glob in &route.topics {
        if let Err(problem) = globset::Glob::new(glob) {
            let kind = problem.kind();
            add(
                "topics",
                format!("\"{glob}\" is no glob ({kind}), expected such as \"billing.*\""),
            );
        }
    }
    for (key, plugin) in [
        ("plugin", route.plugin.as_ref()),
        ("shadow", route.shadow.as_ref().map(|shadow| &shadow.plugin)),
    ] {
        if let Some(plugin) = plugin
            && (plugin.is_empty() || !plugin.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)))
        {
            add(
                key,
                format!(
                    "\"{plugin}\" is no plugin name, expected the file's name in the plugin folder without .wasm: letters, \
                     digits, - and _"
                ),
            );
        }
    }
    if let Some(shadow) = &route.shadow
        && !(shadow.share > 0.0 && shadow.share <= 1.0)
    {
        add(
            "shadow",
            format!("share is {}, expected above 0 and at most 1", shadow.share),
        );
    }
    match &route.sha256 {
        Some(_) if route.plugin.is_none() => add(
            "sha256",
            "there is no plugin to pin, expected plugin beside it".to_owned(),
        ),
        Some(pin) if pin.len() != 64 || !pin.bytes().all(|b| b.is_ascii_hexdigit()) => {
            add("sha256", "expected 64 hexadecimal digits".to_owned());
        }
        _ => {}
    }
}

/// One file can have only one digest.
fn pins(routes: &[Route], found: &mut Findings<'_>) {
    for (index, route) in routes.iter().enumerate() {
        let other = routes[..index].iter().find(|other| {
            let differ = |a: &String, b: &String| !a.eq_ignore_ascii_case(b);
            other.plugin == route.plugin
                && other
                    .sha256
                    .as_ref()
                    .zip(route.sha256.as_ref())
                    .is_some_and(|(a, b)| differ(a, b))
        });
        if let (Some(_), Some(plugin)) = (other, &route.plugin) {
            found.add(
                &["route", &index.to_string(), "sha256"],
                format!("another route pins plugin \"{plugin}\" to another digest, expected the same one"),
            );
        }
    }
}
