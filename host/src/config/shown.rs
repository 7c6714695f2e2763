//! The configuration as it may be shown, without secrets.

use pointsman_stores::url::without_password;
use serde_json::Value;

use super::kafka_properties::is_hidden;

/// What replaces a secret wherever the configuration is shown.
pub const REDACTED: &str = "[redacted]";

/// Hides values whose key is a secret's name; and under any key, private keys, since a file of certificates may hold one, too,
/// and the passwords in URLs.
pub fn redacted(mut value: Value) -> Value {
    redact(&mut value);
    value
}

fn redact(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                if is_hidden(key, value.as_str().unwrap_or_default()) && !value.is_null() {
                    *value = REDACTED.into();
                } else {
                    redact(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::String(text) if is_hidden("", text) => REDACTED.clone_into(text),
        Value::String(text) => *text = without_password(text, REDACTED).into_owned(),
        _ => {}
    }
}

/// A message about a value, without the value: serde quotes values that it did not expect.
pub(super) fn without_value(message: &str) -> String {
    const QUOTING: [&str; 2] = ["invalid type: string ", "invalid value: string "];
    let quoting = QUOTING.iter().find(|quoting| message.starts_with(*quoting));
    match (quoting, message.rfind(", expected ")) {
        (Some(quoting), Some(expected)) => format!("{}{}", quoting.trim_end(), &message[expected..]),
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\nzQ7xV\n-----END RSA PRIVATE KEY-----\n";

    #[test]
    fn no_private_key_is_shown_whatever_it_stands_under() {
        let bundle = format!("-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n{KEY}");
        let shown = redacted(json!({
            "kafka": {"properties": {"ssl.certificate.pem": bundle, "ssl.ca.pem": bundle, "anything": KEY, "acks": "all"}},
            "route": [{"config": {"deep": [{"er": KEY}], "salt": {"password": 7}, "secret": null}}],
            "listen": {"token_file": "/run/secrets/ingest"},
            "routing": {"store": "rediss://me:zQ7xV@r:7000/1", "password_file": "/run/secrets/redis"},
        }));
        assert!(!shown.to_string().contains("zQ7xV"), "{shown}");
        assert_eq!(shown["kafka"]["properties"]["acks"], "all");
        assert_eq!(shown["route"][0]["config"]["salt"]["password"], REDACTED);
        assert_eq!(shown["listen"]["token_file"], "/run/secrets/ingest");
        assert_eq!(shown["routing"]["store"], "rediss://me:[redacted]@r:7000/1");
        assert_eq!(shown["routing"]["password_file"], "/run/secrets/redis");
    }

    #[test]
    fn a_complaint_about_a_value_does_not_repeat_it() {
        for (said, expected) in [
            (
                "invalid type: string \"zQ7xV, expected \\\" what\", expected a map",
                "invalid type: string, expected a map",
            ),
            (
                "unknown field `x`, expected one of `a`",
                "unknown field `x`, expected one of `a`",
            ),
        ] {
            assert_eq!(without_value(said), expected);
        }
    }
}
