//! From a header of HTTP to the text of an attribute (HTTP protocol binding, 3.1.3.2).

use std::borrow::Cow;

/// The text that a header's value stands for: out of its double quotes, if it has them, and then percent-decoded once.
/// The error says what is wrong with the value.
pub(super) fn decoded(value: &[u8]) -> Result<Cow<'_, str>, &'static str> {
    let value = match value {
        [b'"', quoted @ ..] => Cow::Owned(unquoted(quoted)?),
        _ => Cow::Borrowed(value),
    };
    let value = if value.contains(&b'%') {
        Cow::Owned(percent_decoded(&value)?)
    } else {
        value
    };
    const NO_TEXT: &str = "is not UTF-8";
    match value {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| NO_TEXT),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| NO_TEXT),
    }
}

/// What a quoted string of RFC 7230 (3.2.6) holds, from after its first quote.
fn unquoted(quoted: &[u8]) -> Result<Vec<u8>, &'static str> {
    const UNCLOSED: &str = "begins with a double quote, and is not one quoted string; send the quote as %22";
    let mut text = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    loop {
        rest = match rest {
            [b'"'] => return Ok(text),
            [b'"', ..] | [b'\\'] | [] => return Err(UNCLOSED),
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
                text.push(*byte);
                rest
            }
        };
    }
}

fn percent_decoded(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    const NO_BYTE: &str = "has a % without two hexadecimal digits after it; send the % as %25";
    let mut text = Vec::with_capacity(value.len());
    let mut rest = value;
    loop {
        rest = match rest {
            [] => return Ok(text),
            [b'%', high, low, rest @ ..] => {
                let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                    return Err(NO_BYTE);
                };
                text.push(16 * high + low);
                rest
            }
            [b'%', ..] => return Err(NO_BYTE),
            [byte, rest @ ..] => {
                text.push(*byte);
                rest
            }
        };
    }
}

fn digit(hexadecimal: u8) -> Option<u8> {
    // A digit is less than 16.
    char::from(hexadecimal).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn a_header_says_what_its_sender_meant() {
        for (value, text) in [
            ("plain", "plain"),
            ("", ""),
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
            ("%e2%82%ac", "€"),
            ("%41%2541", "A%41"),
            ("a b", "a b"),
            ("say \"hi\"", "say \"hi\""),
            ("\"Euro € 😀\"", "Euro € 😀"),
            (r#""a \"b\" \\ \c""#, "a \"b\" \\ c"),
            ("\"%41\"", "A"),
            ("\"\"", ""),
            ("ä", "ä"),
        ] {
            assert_eq!(decoded(value.as_bytes()).as_deref(), Ok(text), "{value}");
        }
    }

    #[test]
    fn a_header_that_says_nothing_certain_is_refused() {
        for (value, says) in [
            (&b"50%"[..], "%25"),
            (b"50%2", "%25"),
            (b"50% of", "%25"),
            (b"%C0%A0", "UTF-8"),
            (b"%ED%A0%80", "UTF-8"),
            (b"\xe4", "UTF-8"),
            (b"\"", "%22"),
            (b"\"a", "%22"),
            (b"\"a\\\"", "%22"),
            (b"\"a\" b", "%22"),
            (b"\"a\\", "%22"),
        ] {
            let error = decoded(value).expect_err("refused");
            assert!(error.contains(says), "{value:?}: {error}");
        }
    }

    /// As the binding says that a value is encoded.
    fn encoded(text: &str) -> String {
        let one = |byte: u8| match byte {
            b'!'..=b'~' if byte != b'"' && byte != b'%' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        text.bytes().map(one).collect()
    }

    proptest! {
        #[test]
        fn every_text_comes_out_as_it_was_encoded(text in any::<String>()) {
            let percent = encoded(&text);
            prop_assert_eq!(decoded(percent.as_bytes()).map(Cow::into_owned), Ok(text.clone()));
            let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%25"));
            prop_assert_eq!(decoded(quoted.as_bytes()).map(Cow::into_owned), Ok(text));
        }

        #[test]
        fn no_bytes_become_more_than_they_were(value in vec(any::<u8>(), 0..40)) {
            if let Ok(text) = decoded(&value) {
                prop_assert!(text.len() <= value.len());
            }
        }
    }
}
