use super::super::{Ordering, translate};
use super::{block, refusal};

#[test]
fn a_value_that_means_nothing_is_never_guessed() {
    for (key, value) in [
        ("linger.ms", ""),
        ("linger.ms", "-1"),
        ("linger.ms", "NaN"),
        ("linger.ms", "5 ms"),
        ("retries", "2147483648"),
        ("batch.size", "0x10"),
        ("batch.size", "-1"),
        ("max.request.size", "999"),
        ("acks", "most"),
        ("acks", "-2"),
        ("enable.idempotence", "yes"),
        ("compression.type", "brotli"),
        ("compression.gzip.level", "11"),
        ("client.dns.lookup", "default"),
        ("security.protocol", "TLS"),
        ("metadata.max.age.ms", "0"),
        ("buffer.memory", "0"),
        ("max.block.ms", "-1"),
        ("bootstrap.servers", " "),
        ("sasl.mechanism", "AWS_MSK_IAM"),
        ("client.id", "a\0b"),
    ] {
        assert!(refusal(&[(key, value)]).contains(key), "{key}");
    }
}

#[test]
fn two_names_of_one_setting_never_fight_in_silence() {
    for (one, other) in [
        (("max.in.flight", "1"), ("max.in.flight.requests.per.connection", "2")),
        (("linger.ms", "1"), ("queue.buffering.max.ms", "2")),
        (("acks", "all"), ("request.required.acks", "1")),
        (("compression.codec", "gzip"), ("compression.type", "zstd")),
        (("bootstrap.servers", "a:1"), ("metadata.broker.list", "b:1")),
        (("delivery.timeout.ms", "60000"), ("message.timeout.ms", "70000")),
        (("max.request.size", "2000"), ("message.max.bytes", "3000")),
        (("max.block.ms", "1"), ("metadata.fetch.timeout.ms", "2")),
        (("buffer.memory", "2048"), ("queue.buffering.max.kbytes", "2")),
    ] {
        let error = refusal(&[one, other]);
        assert!(error.contains(one.0) && error.contains(other.0), "{error}");
    }
    assert!(refusal(&[("acks", "all"), (" acks", "1")]).contains("twice"));
}

#[test]
fn what_would_load_code_or_take_the_hosts_place_is_refused() {
    for (key, why) in [
        ("partitioner.class", "plugin of the route"),
        ("transactional.id", "no transactions"),
        ("interceptor.classes", "Java code"),
        ("metric.reporters", "/metrics"),
        ("plugin.library.paths", "native code"),
        ("ssl.engine.location", "native code"),
        ("ssl.provider", "Java code"),
        ("config.providers", "_file"),
        ("dr_msg_cb", "only a program"),
        ("delivery.report.only.error", "every delivery"),
        ("log.queue", "sets it itself"),
        ("test.mock.num.brokers", "embedded"),
        ("test.mock.broker.rtt", "own tests"),
        ("sasl.kerberos.service.name", "no Kerberos"),
        ("sasl.oauthbearer.client.secret", "OAuth"),
        ("sasl.login.callback.handler.class", "Java code"),
        ("group.id", "consumers"),
        ("value.deserializer", "consumers"),
    ] {
        for ordering in [Ordering::Strict, Ordering::None] {
            let error = translate(&block(&[(key, "x")]), ordering).expect_err(key).to_string();
            assert!(error.contains(key) && error.contains(why), "{error}");
        }
    }
}

#[test]
fn a_misspelt_key_is_refused_with_the_name_that_was_meant() {
    for (key, meant) in [
        ("liger.ms", "did you mean `linger.ms`"),
        ("bootstrap_servers", "did you mean `bootstrap.servers`"),
        ("compresion.type", "did you mean `compression.type`"),
        ("Enable-Idempotence", "did you mean `enable.idempotence`"),
        ("spring.kafka.producer.batch.size", "did you mean `batch.size`"),
        ("sasl.pasword", "did you mean `sasl.password`"),
        ("sasl.pasword_file", "did you mean `sasl.password_file`"),
        (
            "linger.ms_file",
            "only secrets are read from files; did you mean `linger.ms`",
        ),
        ("socket.keepalive.enabled", "did you mean `socket.keepalive.enable`"),
        ("flux.capacitor", "remove it"),
        ("flux_file", "remove it"),
        ("", "remove it"),
    ] {
        let error = refusal(&[(key, "1")]);
        assert!(error.contains(meant), "{key:?}: {error}");
    }
}
