//! The number of a request, read from its headers, and what a client is told when the number does not fit.

use std::sync::Arc;

use hyper::HeaderMap;
use pointsman_proto::v1;

use super::error::IngestError;
use crate::{
    base::metrics::Metrics,
    ordering::{
        numbered::NotBegun,
        sequence::{Name, Number, Owner},
    },
};

const CLIENT: &str = "pointsman-client";
const EPOCH: &str = "pointsman-epoch";
const SEQUENCE: &str = "pointsman-sequence";
const RESUME: &str = "pointsman-resume";
/// Longest name of a client, in bytes: memory keeps it as a key.
const MAX_CLIENT: usize = 128;
/// The largest number that still has a next one.
const MAX_SEQUENCE: u64 = u64::MAX - 1;

/// The number of a request, if it has one; 400 for headers that make no number. Each owner has its own names.
pub(crate) fn of(headers: &HeaderMap, owner: Owner) -> Result<Option<Number>, IngestError> {
    let client_name = one(headers, CLIENT)?;
    let sequence = one(headers, SEQUENCE)?;
    let epoch = one(headers, EPOCH)?;
    let resume = one(headers, RESUME)?;
    let (client_name, sequence) = match (client_name, sequence) {
        (Some(client), Some(sequence)) => (client, sequence),
        (None, None) if epoch.is_none() && resume.is_none() => return Ok(None),
        (None, _) => {
            return Err(bad(
                "Pointsman-Client is missing beside the other headers of a numbered request",
            ));
        }
        (_, None) => {
            return Err(bad(
                "Pointsman-Sequence is missing beside the other headers of a numbered request",
            ));
        }
    };
    Ok(Some(Number {
        name: Name::new(owner, client(client_name)?),
        epoch: epoch.map_or(Ok(0), |epoch| number("Pointsman-Epoch", epoch, 0, u64::MAX))?,
        sequence: number("Pointsman-Sequence", sequence, 1, MAX_SEQUENCE)?,
        span: 1,
        resume: match resume {
            None => false,
            Some(b"1") => true,
            Some(_) => {
                return Err(bad("Pointsman-Resume has another value than 1; omit it, or send 1"));
            }
        },
    }))
}

/// The number that a message of gRPC has; 400 for what is no number.
pub(super) fn of_message(given: &v1::Number, owner: Owner) -> Result<Number, IngestError> {
    if !(1..=MAX_SEQUENCE).contains(&given.sequence) {
        return Err(bad(format!(
            "the number's sequence is {}; send one from 1 to {MAX_SEQUENCE}",
            given.sequence
        )));
    }
    Ok(Number {
        name: Name::new(owner, client(given.client.as_bytes())?),
        epoch: given.epoch,
        sequence: given.sequence,
        span: 1,
        resume: given.resume,
    })
}

/// Counts a request whose number did not fit.
pub(super) fn count(error: &NotBegun, metrics: &Metrics) {
    if let NotBegun::Refused(refusal) = error
        && refusal.is_conflict()
    {
        metrics.sequence_conflict(refusal.code());
    }
}

/// The only value of a header; 400 if it has more than one.
pub(super) fn one<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h [u8]>, IngestError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(|value| value.as_bytes())),
        _ => Err(bad(format!("there is more than one {name} header; send one"))),
    }
}

fn client(given: &[u8]) -> Result<Arc<str>, IngestError> {
    match std::str::from_utf8(given) {
        Ok(name) if (1..=MAX_CLIENT).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Arc::from(name))
        }
        _ => Err(bad(format!(
            "Pointsman-Client, or client of a number, is not a client's name; send 1 to {MAX_CLIENT} visible ASCII characters"
        ))),
    }
}

fn number(header: &str, given: &[u8], least: u64, most: u64) -> Result<u64, IngestError> {
    let digits = std::str::from_utf8(given)
        .ok()
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let parsed = digits.and_then(|digits| digits.parse().ok());
    parsed.filter(|number| (least..=most).contains(number)).ok_or_else(|| {
        let shown: String = String::from_utf8_lossy(given).chars().take(32).collect();
        bad(format!(
            "{header} is {shown:?}; send a number from {least} to {most}, in digits"
        ))
    })
}

fn bad(detail: impl Into<String>) -> IngestError {
    IngestError::BadHeader(detail.into())
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value).expect("a header's value"),
            )
        });
        pairs.collect()
    }

    fn number_of(pairs: &[(&'static str, &[u8])]) -> Option<Number> {
        of(&headers(pairs), Owner::Tcp).expect("no problem")
    }

    fn is_refused(pairs: &[(&'static str, &[u8])]) -> bool {
        of(&headers(pairs), Owner::Tcp).is_err()
    }

    #[test]
    fn a_number_is_read_as_it_was_sent() {
        assert_eq!(number_of(&[]), None);
        let expected = Number {
            name: Name::new(Owner::Tcp, "shop-1/a~"),
            epoch: 0,
            sequence: 1,
            span: 1,
            resume: false,
        };
        assert_eq!(
            number_of(&[(CLIENT, b"shop-1/a~"), (SEQUENCE, b"1")]),
            Some(expected.clone())
        );
        let largest = Number {
            epoch: u64::MAX,
            sequence: MAX_SEQUENCE,
            resume: true,
            ..expected
        };
        let pairs: &[(_, &[u8])] = &[
            (CLIENT, b"shop-1/a~"),
            (EPOCH, b"18446744073709551615"),
            (SEQUENCE, b"18446744073709551614"),
            (RESUME, b"1"),
        ];
        assert_eq!(number_of(pairs), Some(largest));
    }

    #[test]
    fn half_a_number_or_a_bad_one_is_never_taken_for_none() {
        assert!(is_refused(&[(CLIENT, b"a")]));
        assert!(is_refused(&[(SEQUENCE, b"1")]));
        assert!(is_refused(&[(EPOCH, b"1")]));
        assert!(is_refused(&[(RESUME, b"1")]));
        for client in [&b""[..], b"a b", b"\xc3\xa4", &[b'a'; MAX_CLIENT + 1]] {
            assert!(is_refused(&[(CLIENT, client), (SEQUENCE, b"1")]), "{client:?}");
        }
        for sequence in [
            &b""[..],
            b"0",
            b"-1",
            b"+1",
            b"1.0",
            b"1 ",
            b"18446744073709551615",
            b"99999999999999999999",
        ] {
            assert!(is_refused(&[(CLIENT, b"a"), (SEQUENCE, sequence)]), "{sequence:?}");
        }
        assert!(is_refused(&[(CLIENT, b"a"), (SEQUENCE, b"1"), (RESUME, b"true")]));
        assert!(is_refused(&[(CLIENT, b"a"), (CLIENT, b"b"), (SEQUENCE, b"1")]));
        assert!(is_refused(&[(CLIENT, b"a"), (SEQUENCE, b"1"), (SEQUENCE, b"1")]));
    }

    proptest! {
        /// Whatever a client sends in these headers.
        #[test]
        fn no_header_panics(values in vec((0..4_usize, vec(any::<u8>(), 0..40)), 0..6)) {
            let names = [CLIENT, EPOCH, SEQUENCE, RESUME];
            let headers: HeaderMap = values
                .iter()
                .filter_map(|(name, value)| {
                    Some((HeaderName::from_static(names[*name]), HeaderValue::from_bytes(value).ok()?))
                })
                .collect();
            if let Ok(Some(number)) = of(&headers, Owner::Tcp) {
                prop_assert!(number.sequence > 0 && !number.name.client.is_empty());
            }
        }
    }
}
