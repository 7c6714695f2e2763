//! How the producer logs in to the brokers.

use super::draft::{Draft, Given, PropertyError, value_of};
use super::jaas::{self, Family};

const JAAS: &str = "sasl.jaas.config";
const MECHANISM: &str = "sasl.mechanism";

pub(super) fn translate(given: &Given<'_>, draft: &mut Draft) -> Result<(), PropertyError> {
    if let Some(text) = value_of(given, JAAS) {
        jaas(text, draft)?;
    } else if given.contains_key(JAAS) {
        draft.note_empty(JAAS);
    }
    let protocol = draft.get("security.protocol").unwrap_or("plaintext").to_owned();
    let mechanism = draft.get(MECHANISM).map(str::to_owned);
    if mechanism.as_deref() == Some("GSSAPI") {
        return Err(PropertyError::new(
            draft.origin(MECHANISM),
            "is GSSAPI (Kerberos), which this build has not; use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or TLS client certificates",
        ));
    }
    if !protocol.starts_with("sasl_") {
        if mechanism.is_some() || draft.get("sasl.username").is_some() {
            draft.note(format!(
                "SASL is configured but not used: `security.protocol` is {protocol}"
            ));
        }
        return Ok(());
    }
    match mechanism.as_deref() {
        None => Err(PropertyError::new(
            draft.origin("security.protocol"),
            "asks for SASL: set `sasl.mechanism` too, to PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 (its default, GSSAPI, is not in this build)",
        )),
        Some("OAUTHBEARER") => oauth(draft),
        Some(mechanism) => login_is_given(draft, mechanism),
    }
}

/// Takes the name and password of `sasl.jaas.config`, and the mechanism that the login module implies.
fn jaas(text: &str, draft: &mut Draft) -> Result<(), PropertyError> {
    let login = jaas::parse(text).map_err(|wrong| PropertyError::new(JAAS, wrong.to_string()))?;
    match (login.family, draft.get(MECHANISM)) {
        (Family::Plain, Some("PLAIN")) | (Family::Scram, Some("SCRAM-SHA-256" | "SCRAM-SHA-512")) => {}
        (Family::Plain, None) => {
            draft.note(format!(
                "`{MECHANISM}` is set to PLAIN, after the login module in `{JAAS}`"
            ));
            draft.put(MECHANISM, JAAS, "PLAIN".to_owned())?;
        }
        (Family::Scram, None) => {
            return Err(PropertyError::new(
                JAAS,
                format!("is for SCRAM: set `{MECHANISM}` too, to SCRAM-SHA-256 or SCRAM-SHA-512"),
            ));
        }
        (family, Some(mechanism)) => {
            let module = match family {
                Family::Plain => "PlainLoginModule",
                Family::Scram => "ScramLoginModule",
            };
            let key = draft.origin(MECHANISM);
            return Err(PropertyError::new(
                JAAS,
                format!("holds {module}, which does not go with `{key}` {mechanism}; make them agree"),
            ));
        }
    }
    draft.put("sasl.username", JAAS, login.username)?;
    draft.put("sasl.password", JAAS, login.password)
}

/// Nothing in this build fetches tokens, and librdkafka itself can only make unsigned ones.
fn oauth(draft: &mut Draft) -> Result<(), PropertyError> {
    if draft.get("enable.sasl.oauthbearer.unsecure.jwt") == Some("true") {
        draft.note("OAUTHBEARER with unsigned tokens: for tests only".to_owned());
        return Ok(());
    }
    Err(PropertyError::new(
        draft.origin(MECHANISM),
        "is OAUTHBEARER, whose tokens this build cannot fetch; use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or TLS client certificates",
    ))
}

fn login_is_given(draft: &Draft, mechanism: &str) -> Result<(), PropertyError> {
    for needed in ["sasl.username", "sasl.password"] {
        if draft.get(needed).is_none() {
            let message = format!("is {mechanism}, but there is no `{needed}` and no `{JAAS}`; give one of them");
            return Err(PropertyError::new(draft.origin(MECHANISM), message));
        }
    }
    Ok(())
}
