//! Numbers, in the ways that JSON of Protobuf may write them: as a number or as text, with an exponent where that changes nothing.

use crate::{Invalid, document::Json};

/// Whole numbers below this are exact in a `f64`; this one may have been the next.
const TOO_MANY: f64 = 9_007_199_254_740_992.0;

/// The mistake that another value stands where this is expected.
pub(super) fn expected(what: &str, got: Json<'_>) -> Invalid {
    Invalid::new(format!("expected {what}, got {}", got.shown()))
}

fn out_of_range(kind: &str, got: Json<'_>) -> Invalid {
    Invalid::new(format!("{} is out of the range of {kind}", got.shown()))
}

/// A whole number of any of the kinds.
fn whole(kind: &str, json: Json<'_>) -> Result<i128, Invalid> {
    match json {
        Json::Signed(value) => Ok(value.into()),
        Json::Unsigned(value) => Ok(value.into()),
        Json::Float(value) => whole_float(kind, value, json),
        Json::Text(text) => match is_number(text) {
            Some(true) => text.parse().map_err(|_| out_of_range(kind, json)),
            Some(false) => whole_float(kind, text.parse().map_err(|_| expected(kind, json))?, json),
            None => Err(expected(kind, json)),
        },
        _ => Err(expected(kind, json)),
    }
}

/// A number with a fraction or an exponent: more than is exact may already be another than was written.
fn whole_float(kind: &str, value: f64, json: Json<'_>) -> Result<i128, Invalid> {
    if value.fract() != 0.0 {
        return Err(expected(kind, json));
    }
    if value.abs() >= TOO_MANY {
        return Err(Invalid::new(format!(
            "{} is 2^53 or more and has a fraction or an exponent; write it as a whole number",
            json.shown()
        )));
    }
    Ok(value as i128)
}

pub(super) fn int32(kind: &str, json: Json<'_>) -> Result<i32, Invalid> {
    i32::try_from(whole(kind, json)?).map_err(|_| out_of_range(kind, json))
}

pub(super) fn int64(kind: &str, json: Json<'_>) -> Result<i64, Invalid> {
    match json {
        Json::Signed(value) => Ok(value),
        _ => i64::try_from(whole(kind, json)?).map_err(|_| out_of_range(kind, json)),
    }
}

pub(super) fn uint32(kind: &str, json: Json<'_>) -> Result<u32, Invalid> {
    u32::try_from(whole(kind, json)?).map_err(|_| out_of_range(kind, json))
}

pub(super) fn uint64(kind: &str, json: Json<'_>) -> Result<u64, Invalid> {
    u64::try_from(whole(kind, json)?).map_err(|_| out_of_range(kind, json))
}

pub(super) fn double(json: Json<'_>) -> Result<f64, Invalid> {
    match json {
        Json::Signed(value) => Ok(value as f64),
        Json::Unsigned(value) => Ok(value as f64),
        Json::Float(value) => Ok(value),
        Json::Text("NaN") => Ok(f64::NAN),
        Json::Text("Infinity") => Ok(f64::INFINITY),
        Json::Text("-Infinity") => Ok(f64::NEG_INFINITY),
        Json::Text(text) if is_number(text).is_some() => match text.parse() {
            Ok(value) if f64::is_finite(value) => Ok(value),
            _ => Err(out_of_range("double", json)),
        },
        _ => Err(expected("double", json)),
    }
}

pub(super) fn float(json: Json<'_>) -> Result<f32, Invalid> {
    let value = match json {
        // From the text itself: by way of a `f64`, it would be rounded twice.
        Json::Text(text) if is_number(text).is_some() => text.parse().map_err(|_| expected("float", json))?,
        Json::Text("NaN" | "Infinity" | "-Infinity") => return double(json).map(|value| value as f32),
        _ => match double(json).map_err(|_| expected("float", json))? {
            value if value.abs() > f64::from(f32::MAX) => f32::INFINITY,
            value => value as f32,
        },
    };
    match value.is_finite() {
        true => Ok(value),
        false => Err(out_of_range("float", json)),
    }
}

/// Whether a text is a number as JSON writes it: `Some(true)` for one without fraction and exponent.
fn is_number(text: &str) -> Option<bool> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(unsigned);
    if whole == 0 || (whole > 1 && unsigned.starts_with('0')) {
        return None;
    }
    let mut rest = &unsigned[whole..];
    let is_whole = rest.is_empty();
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = digits(fraction);
        if count == 0 {
            return None;
        }
        rest = &fraction[count..];
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let count = digits(exponent);
        if count == 0 {
            return None;
        }
        rest = &exponent[count..];
    }
    rest.is_empty().then_some(is_whole)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_is_a_number_exactly_where_json_says_so(text in "-?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?") {
            let json = serde_json::from_str::<f64>(&text).is_ok();
            prop_assert_eq!(is_number(&text).is_some(), json);
        }

        #[test]
        fn whole_numbers_are_taken_in_each_spelling(value: i64) {
            prop_assert_eq!(int64("int64", Json::Signed(value)), Ok(value));
            prop_assert_eq!(int64("int64", Json::Text(&value.to_string())), Ok(value));
            prop_assert_eq!(int32("int32", Json::Signed(value)).ok(), i32::try_from(value).ok());
            prop_assert_eq!(uint32("uint32", Json::Signed(value)).ok(), u32::try_from(value).ok());
            prop_assert_eq!(uint64("uint64", Json::Signed(value)).ok(), u64::try_from(value).ok());
        }
    }

    #[test]
    fn whole_numbers_end_at_their_ranges() {
        assert_eq!(uint64("uint64", Json::Unsigned(u64::MAX)), Ok(u64::MAX));
        assert!(int64("int64", Json::Unsigned(1 << 63)).is_err());
        assert!(int64("int64", Json::Text("9223372036854775808")).is_err());
        assert!(int64("int64", Json::Float(9.3e18)).is_err());
        assert!(uint64("uint64", Json::Text(&"9".repeat(100))).is_err());
        assert_eq!(int32("int32", Json::Float(1e5)), Ok(100_000));
        assert_eq!(int32("int32", Json::Text("1e5")), Ok(100_000));
        assert_eq!(int32("int32", Json::Text("2.0")), Ok(2));
        assert_eq!(int32("int32", Json::Float(-0.0)), Ok(0));
        for text in ["", " 1", "1 ", "+1", "01", "0x1", "1.5", "inf", "NaN", "1_0", "٣"] {
            assert!(int32("int32", Json::Text(text)).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_whole_number_that_a_float_rounded_is_refused_rather_than_changed() {
        assert!(int64("int64", Json::Float(1e18)).is_err());
        assert!(int64("int64", Json::Text("9007199254740993.0")).is_err());
    }

    #[test]
    fn floats_take_the_names_of_what_is_no_number() {
        assert!(double(Json::Text("NaN")).is_ok_and(f64::is_nan));
        assert_eq!(float(Json::Text("-Infinity")), Ok(f32::NEG_INFINITY));
        assert_eq!(double(Json::Text("1e-3")), Ok(0.001));
        assert_eq!(float(Json::Signed(3)), Ok(3.0));
        for text in ["inf", "nan", "infinity", "1e999", "", "+1.0", ".5", "5."] {
            assert!(double(Json::Text(text)).is_err(), "{text:?}");
            assert!(float(Json::Text(text)).is_err(), "{text:?}");
        }
        assert!(float(Json::Float(3.5e38)).is_err());
        assert!(float(Json::Text("3.5e38")).is_err());
        assert!(float(Json::Float(-1e300)).is_err());
    }
}
