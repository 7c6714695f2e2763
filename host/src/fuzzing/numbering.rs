//! The headers of numbered requests.

use super::{headers::split, parsed::check_problem};
use crate::{ingest::numbering::of, ordering::sequence::Owner};

const NAMES: [&str; 4] = [
    "pointsman-client",
    "pointsman-epoch",
    "pointsman-sequence",
    "pointsman-resume",
];

/// Checks that a request's number is what its headers say in digits. An incomplete number is an error, and never counts
/// as no number.
pub fn numbering(data: &[u8]) {
    let (headers, _) = split(data);
    let values = NAMES.map(|name| {
        headers
            .get_all(name)
            .iter()
            .map(|value| value.as_bytes())
            .collect::<Vec<_>>()
    });
    let number = match of(&headers, Owner::Tcp) {
        Ok(None) => return assert!(values.iter().all(Vec::is_empty), "{headers:?}"),
        Err(problem) => {
            assert!(values.iter().any(|values| !values.is_empty()));
            return check_problem(&problem);
        }
        Ok(Some(number)) => number,
    };
    assert!(values.iter().all(|values| values.len() <= 1));
    let [client, epoch, sequence, resume] = values.map(|values| values.first().copied());
    assert_eq!(client, Some(number.name.client.as_bytes()));
    assert!((1..=128).contains(&number.name.client.len()));
    assert_eq!(sequence.map(in_digits), Some(u128::from(number.sequence)));
    assert_eq!(epoch.map_or(0, in_digits), u128::from(number.epoch));
    assert_eq!(resume, number.resume.then_some(&b"1"[..]));
    assert!(number.sequence > 0 && number.sequence < u64::MAX, "it has no next one");
}

fn in_digits(text: &[u8]) -> u128 {
    text.iter()
        .fold(0, |number, digit| number * 10 + u128::from(digit - b'0'))
}
