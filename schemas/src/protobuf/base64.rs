//! Base64 (RFC 4648), as Protobuf's JSON has it: read in the standard and the URL-safe alphabet, with or without padding; written in
//! the standard one, with padding.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// No sign of base64.
const NONE: u8 = 0xff;
/// What a byte of the text stands for.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut index = 0;
    while index < 64 {
        values[STANDARD[index] as usize] = index as u8;
        index += 1;
    }
    values[b'-' as usize] = 62;
    values[b'_' as usize] = 63;
    values
};

/// A text that is base64, not decoded yet.
pub(super) struct Encoded<'t>(&'t [u8]);

impl<'t> Encoded<'t> {
    /// `None`: the text is not base64.
    pub(super) fn of(text: &'t str) -> Option<Self> {
        let text = text.as_bytes();
        let data = match text {
            [data @ .., b'=', b'='] | [data @ .., b'='] if text.len().is_multiple_of(4) => data,
            _ => text,
        };
        let ok = data.len() % 4 != 1 && data.iter().all(|&byte| VALUES[usize::from(byte)] != NONE);
        ok.then_some(Self(data))
    }

    /// How many bytes it stands for.
    pub(super) fn len(&self) -> usize {
        self.0.len() * 3 / 4
    }

    /// Appends the bytes.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        for four in self.0.chunks(4) {
            let bits = four.iter().enumerate().fold(0, |bits, (index, &byte)| {
                bits | u32::from(VALUES[usize::from(byte)]) << (18 - 6 * index)
            });
            out.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
        }
    }
}

/// Appends what stands for these bytes.
pub(super) fn put(bytes: &[u8], out: &mut Vec<u8>) {
    for three in bytes.chunks(3) {
        let bits = three
            .iter()
            .enumerate()
            .fold(0, |bits, (index, &byte)| bits | u32::from(byte) << (16 - 8 * index));
        for index in 0..4 {
            out.push(match index <= three.len() {
                true => STANDARD[(bits >> (18 - 6 * index) & 63) as usize],
                false => b'=',
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &str) -> Option<Vec<u8>> {
        let encoded = Encoded::of(text)?;
        let mut out = Vec::new();
        encoded.put(&mut out);
        assert_eq!(out.len(), encoded.len());
        Some(out)
    }

    proptest! {
        #[test]
        fn bytes_come_back_from_each_form_of_base64(bytes: Vec<u8>) {
            let mut out = Vec::new();
            put(&bytes, &mut out);
            let text = String::from_utf8(out).expect("base64 is ASCII");
            prop_assert_eq!(decoded(&text), Some(bytes.clone()));
            prop_assert_eq!(decoded(text.trim_end_matches('=')), Some(bytes.clone()));
            prop_assert_eq!(decoded(&text.replace('+', "-").replace('/', "_")), Some(bytes));
        }

        #[test]
        fn no_text_makes_base64_panic(text: String) {
            decoded(&text);
        }
    }

    #[test]
    fn the_examples_of_the_rfc_hold() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            put(bytes.as_bytes(), &mut out);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for text in ["Z", "Zg=", "Zm9=v", "Zm9v\n", "Zm 9", "====", "Zg===", "é"] {
            assert_eq!(decoded(text), None, "{text:?}");
        }
    }
}
