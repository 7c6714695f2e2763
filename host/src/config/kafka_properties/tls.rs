//! Java's key stores and trust stores, for OpenSSL.
//!
//! OpenSSL reads PEM, and PKCS12 for the client's own key. Only Java reads JKS, which is Java's default. The error for
//! a JKS file holds the command that converts that file.

use super::{
    draft::{Draft, Given, PropertyError, shown, value_of},
    pem,
};

const TRUST_LOCATION: &str = "ssl.truststore.location";
const TRUST_TYPE: &str = "ssl.truststore.type";
const TRUST_CERTIFICATES: &str = "ssl.truststore.certificates";
const KEY_LOCATION: &str = "ssl.keystore.location";
const KEY_TYPE: &str = "ssl.keystore.type";
const KEY_PASSWORD: &str = "ssl.keystore.password";
const KEY_CHAIN: &str = "ssl.keystore.certificate.chain";
const KEY_PEM: &str = "ssl.keystore.key";
const PRIVATE_KEY_PASSWORD: &str = "ssl.key.password";
const IDENTIFICATION: &str = "ssl.endpoint.identification.algorithm";

pub(super) fn translate(given: &Given<'_>, draft: &mut Draft) -> Result<(), PropertyError> {
    for key in [
        TRUST_LOCATION,
        TRUST_CERTIFICATES,
        KEY_LOCATION,
        KEY_PASSWORD,
        KEY_CHAIN,
        KEY_PEM,
        PRIVATE_KEY_PASSWORD,
    ] {
        if given.get(key).is_some_and(|value| value.is_empty()) {
            draft.note_empty(key);
        }
    }
    trust_store(given, draft)?;
    key_store(given, draft)?;
    if let Some(algorithm) = given.get(IDENTIFICATION) {
        let algorithm = if algorithm.is_empty() { "none" } else { algorithm };
        draft.set(IDENTIFICATION, IDENTIFICATION, algorithm)?;
    }
    if draft.get(IDENTIFICATION) == Some("none") || draft.get("enable.ssl.certificate.verification") == Some("false") {
        draft.note(
            "TLS does not make sure whom it talks to: the brokers' names or certificates are not checked".to_owned(),
        );
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Store {
    Pem,
    Pkcs12,
    Jks,
}

/// The store's type: as written, else by the ending of the file's name, else Java's default.
fn store_type(type_key: &str, written: Option<&str>, location: Option<&str>) -> Result<Store, PropertyError> {
    if let Some(written) = written {
        return match written.to_ascii_uppercase().as_str() {
            "PEM" => Ok(Store::Pem),
            "PKCS12" => Ok(Store::Pkcs12),
            "JKS" => Ok(Store::Jks),
            _ => {
                let written = shown(written);
                Err(PropertyError::new(
                    type_key,
                    format!("is \"{written}\", which only Java reads; convert the store and say PEM"),
                ))
            }
        };
    }
    let location = location.unwrap_or_default().to_ascii_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| location.ends_with(ending));
    Ok(if ends(&[".pem", ".crt", ".cer"]) {
        Store::Pem
    } else if ends(&[".p12", ".pfx", ".pkcs12"]) {
        Store::Pkcs12
    } else {
        Store::Jks
    })
}

fn trust_store(given: &Given<'_>, draft: &mut Draft) -> Result<(), PropertyError> {
    let written = value_of(given, TRUST_TYPE);
    match (value_of(given, TRUST_LOCATION), value_of(given, TRUST_CERTIFICATES)) {
        (Some(_), Some(_)) => Err(PropertyError::new(
            TRUST_LOCATION,
            format!("and `{TRUST_CERTIFICATES}` both name certificates to trust; keep one of the two"),
        )),
        (None, Some(certificates)) => {
            only_pem(TRUST_CERTIFICATES, TRUST_TYPE, written)?;
            draft.put(
                "ssl.ca.pem",
                TRUST_CERTIFICATES,
                pem_of(TRUST_CERTIFICATES, certificates)?,
            )
        }
        (Some(location), None) => match store_type(TRUST_TYPE, written, Some(location))? {
            Store::Pem => draft.put("ssl.ca.location", TRUST_LOCATION, location.to_owned()),
            store => Err(PropertyError::new(TRUST_LOCATION, convert_trust(store, location))),
        },
        (None, None) => Ok(()),
    }
}

fn key_store(given: &Given<'_>, draft: &mut Draft) -> Result<(), PropertyError> {
    let location = value_of(given, KEY_LOCATION);
    let written = value_of(given, KEY_TYPE);
    let key_password = value_of(given, PRIVATE_KEY_PASSWORD);
    match (value_of(given, KEY_CHAIN), value_of(given, KEY_PEM)) {
        (None, None) => {}
        (Some(chain), Some(key)) if location.is_none() => {
            only_pem(KEY_PEM, KEY_TYPE, written)?;
            draft.put("ssl.certificate.pem", KEY_CHAIN, pem_of(KEY_CHAIN, chain)?)?;
            draft.put("ssl.key.pem", KEY_PEM, pem_of(KEY_PEM, key)?)?;
            return private_key_password(given, draft);
        }
        (Some(_), Some(_)) => {
            return Err(PropertyError::new(
                KEY_LOCATION,
                format!("and `{KEY_PEM}` both name the client's key; keep one of the two"),
            ));
        }
        (Some(_), None) => {
            return Err(PropertyError::new(
                KEY_CHAIN,
                format!("needs its key: give `{KEY_PEM}` too"),
            ));
        }
        (None, Some(_)) => {
            return Err(PropertyError::new(
                KEY_PEM,
                format!("needs its certificate: give `{KEY_CHAIN}` too"),
            ));
        }
    }
    let Some(location) = location else {
        // Settings under librdkafka's own names may still need the passwords.
        if let Some(password) = value_of(given, KEY_PASSWORD) {
            draft.put(KEY_PASSWORD, KEY_PASSWORD, password.to_owned())?;
        }
        return private_key_password(given, draft);
    };
    match store_type(KEY_TYPE, written, Some(location))? {
        Store::Pem => {
            draft.put("ssl.certificate.location", KEY_LOCATION, location.to_owned())?;
            draft.put("ssl.key.location", KEY_LOCATION, location.to_owned())?;
            private_key_password(given, draft)
        }
        Store::Pkcs12 => {
            let Some(password) = value_of(given, KEY_PASSWORD) else {
                return Err(PropertyError::new(
                    KEY_LOCATION,
                    format!("is a PKCS12 store: give `{KEY_PASSWORD}` (or `{KEY_PASSWORD}_file`) too"),
                ));
            };
            draft.put(KEY_LOCATION, KEY_LOCATION, location.to_owned())?;
            draft.put(KEY_PASSWORD, KEY_PASSWORD, password.to_owned())?;
            if key_password.is_some_and(|key_password| key_password != password) {
                draft.note(format!(
                    "`{PRIVATE_KEY_PASSWORD}` is ignored: a PKCS12 store has one password, `{KEY_PASSWORD}`"
                ));
            }
            Ok(())
        }
        Store::Jks => Err(PropertyError::new(
            KEY_LOCATION,
            convert_key(location, written.is_none()),
        )),
    }
}

/// The password of a private key in PEM. Java refuses the store's password for PEM. Silence would leave the key locked.
fn private_key_password(given: &Given<'_>, draft: &mut Draft) -> Result<(), PropertyError> {
    let pem_store = ["ssl.certificate.location", "ssl.certificate.pem"]
        .iter()
        .any(|name| draft.get(name).is_some());
    if pem_store && value_of(given, KEY_PASSWORD).is_some() {
        return Err(PropertyError::new(
            KEY_PASSWORD,
            format!("does not go with PEM, where only the key has a password; move it to `{PRIVATE_KEY_PASSWORD}`"),
        ));
    }
    match value_of(given, PRIVATE_KEY_PASSWORD) {
        Some(password) => draft.put(PRIVATE_KEY_PASSWORD, PRIVATE_KEY_PASSWORD, password.to_owned()),
        None => Ok(()),
    }
}

/// PEM text in a setting excludes any other type of store.
fn only_pem(key: &str, type_key: &str, written: Option<&str>) -> Result<(), PropertyError> {
    match written {
        Some(written) if !written.eq_ignore_ascii_case("PEM") => Err(PropertyError::new(
            key,
            format!("holds PEM text; set `{type_key}` to PEM"),
        )),
        _ => Ok(()),
    }
}

fn pem_of(key: &str, text: &str) -> Result<String, PropertyError> {
    pem::normalised(text).ok_or_else(|| {
        PropertyError::new(
            key,
            "holds no whole PEM block; expected -----BEGIN …----- to -----END …-----",
        )
    })
}

/// How to convert a trust store to a file that can be used. `keytool` prints either type as PEM.
fn convert_trust(store: Store, location: &str) -> String {
    let (name, hint) = match store {
        Store::Pkcs12 => ("a PKCS12 trust store", ""),
        _ => (
            "a JKS trust store, Java's default",
            " (if it holds PEM, say ssl.truststore.type = \"PEM\")",
        ),
    };
    let from = quoted(location);
    format!(
        "is {name}, which OpenSSL cannot read{hint}; run `keytool -list -rfc -keystore {from} > truststore.pem` \
         and give that file with ssl.truststore.type = \"PEM\""
    )
}

fn convert_key(location: &str, guessed: bool) -> String {
    let hint = if guessed {
        " (if it is another, say ssl.keystore.type = \"PKCS12\" or \"PEM\")"
    } else {
        ""
    };
    let from = quoted(location);
    format!(
        "is a JKS key store, Java's default, which OpenSSL cannot read{hint}; run `keytool -importkeystore -srckeystore {from} \
         -destkeystore keystore.p12 -deststoretype PKCS12` and give that file with ssl.keystore.type = \"PKCS12\""
    )
}

/// A path for a shell, on one line.
fn quoted(path: &str) -> String {
    let plain = path
        .chars()
        .all(|char| char.is_ascii_alphanumeric() || "/._-+@:,".contains(char));
    let path = shown(path);
    if plain {
        path
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}
