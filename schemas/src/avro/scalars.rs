//! Writes what holds no other values, by the chapter "Binary encoding" of the specification.

use super::{
    logical::{unscaled, uuid},
    types::{Fixed, Logical},
};
use crate::{document::Json, invalid::Invalid};

/// Whole doubles below this are exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

pub(super) fn expected(what: &str, got: Json<'_>) -> Invalid {
    Invalid::new(format!("expected {what}, got {}", got.shown()))
}

/// Zigzag, then seven bits a byte.
pub(super) fn put_long(number: i64, out: &mut Vec<u8>) {
    let mut left = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// A length or an index.
pub(super) fn put_size(size: usize, out: &mut Vec<u8>) {
    put_long(i64::try_from(size).unwrap_or(i64::MAX), out);
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_size(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// A number without fraction, also one that is written with one (`5.0`).
pub(super) fn whole(json: Json<'_>) -> Option<i64> {
    match json {
        Json::Signed(number) => Some(number),
        Json::Float(number) if number.fract() == 0.0 && number.abs() < EXACT => Some(number as i64),
        _ => None,
    }
}

pub(super) fn put_boolean(json: Json<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
    let Json::Bool(value) = json else {
        return Err(expected("boolean", json));
    };
    out.push(value.into());
    Ok(())
}

/// An `int` or, if not `narrow`, a `long`.
pub(super) fn put_whole(json: Json<'_>, narrow: bool, logical: Logical, out: &mut Vec<u8>) -> Result<(), Invalid> {
    let name = if narrow { "int" } else { "long" };
    let number = match (json, logical) {
        (_, Logical::None) | (Json::Signed(_), _) => whole(json),
        (Json::Text(text), _) => Some(logical.number_of(text).map_err(|form| expected(form, json))?),
        _ => whole(json),
    };
    let number = match (number, json) {
        (Some(number), _) => number,
        (None, Json::Unsigned(_)) => return Err(too_large(name, json)),
        (None, _) => return Err(expected(name, json)),
    };
    if narrow && i32::try_from(number).is_err() {
        return Err(too_large(name, json));
    }
    put_long(number, out);
    Ok(())
}

fn too_large(name: &str, json: Json<'_>) -> Invalid {
    Invalid::new(format!(
        "expected {name}, got {}, which is more than it holds",
        json.shown()
    ))
}

/// A number, or one of the words that Java's library writes for those that JSON has no form for.
pub(super) fn double(json: Json<'_>) -> Option<f64> {
    match json {
        Json::Signed(number) => Some(number as f64),
        Json::Unsigned(number) => Some(number as f64),
        Json::Float(number) => Some(number),
        Json::Text("NaN") => Some(f64::NAN),
        Json::Text("Infinity") => Some(f64::INFINITY),
        Json::Text("-Infinity") => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

pub(super) fn put_double(json: Json<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
    let number = double(json).ok_or_else(|| expected("double", json))?;
    out.extend_from_slice(&number.to_le_bytes());
    Ok(())
}

pub(super) fn put_float(json: Json<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
    let number = double(json).ok_or_else(|| expected("float", json))?;
    let narrow = number as f32;
    if narrow.is_infinite() && number.is_finite() {
        return Err(too_large("float", json));
    }
    out.extend_from_slice(&narrow.to_le_bytes());
    Ok(())
}

pub(super) fn put_string(json: Json<'_>, logical: Logical, out: &mut Vec<u8>) -> Result<(), Invalid> {
    let Json::Text(text) = json else {
        return Err(expected("string", json));
    };
    if logical == Logical::Uuid && uuid(text).is_none() {
        return Err(expected("a uuid", json));
    }
    put_bytes(text.as_bytes(), out);
    Ok(())
}

/// Each letter of a text is a byte (ISO-8859-1); none if one is more than a byte.
fn put_latin(text: &str, out: &mut Vec<u8>) -> Option<()> {
    if text.is_ascii() {
        out.extend_from_slice(text.as_bytes());
        return Some(());
    }
    for letter in text.chars() {
        out.push(u8::try_from(letter).ok()?);
    }
    Some(())
}

pub(super) fn is_latin(text: &str) -> bool {
    text.is_ascii() || text.chars().all(|letter| u8::try_from(letter).is_ok())
}

/// What is said of a text with a letter that is no byte.
const LATIN: &str = "a string of letters that stand for a byte each (U+0000 to U+00FF)";

/// Bytes without their length, which is the whole value where a schema is nothing but `bytes`.
pub(super) fn put_raw(json: Json<'_>, logical: Logical, out: &mut Vec<u8>) -> Result<(), Invalid> {
    match (json, logical) {
        (Json::Text(text), _) => put_latin(text, out).ok_or_else(|| expected(LATIN, json)),
        (_, Logical::Decimal { precision, scale }) => {
            let number = decimal(json, precision, scale)?;
            out.extend_from_slice(shortest(&number.to_be_bytes()));
            Ok(())
        }
        _ => Err(expected("bytes (a string)", json)),
    }
}

pub(super) fn put_bytes_of(json: Json<'_>, logical: Logical, out: &mut Vec<u8>) -> Result<(), Invalid> {
    match (json, logical) {
        (Json::Text(text), _) => {
            put_size(text.chars().count(), out);
            put_latin(text, out).ok_or_else(|| expected(LATIN, json))
        }
        (_, Logical::Decimal { precision, scale }) => {
            put_bytes(shortest(&decimal(json, precision, scale)?.to_be_bytes()), out);
            Ok(())
        }
        _ => Err(expected("bytes (a string)", json)),
    }
}

pub(super) fn put_fixed(json: Json<'_>, fixed: &Fixed, logical: Logical, out: &mut Vec<u8>) -> Result<(), Invalid> {
    let Fixed { name, size } = fixed;
    match (json, logical) {
        (Json::Text(text), Logical::Uuid) if uuid(text).is_some() => {
            out.extend(uuid(text).into_iter().flatten());
            Ok(())
        }
        (Json::Text(text), _) => {
            if text.chars().count() != *size {
                return Err(expected(
                    &format!("{name} (a string of {size} letters, each a byte)"),
                    json,
                ));
            }
            put_latin(text, out).ok_or_else(|| expected(LATIN, json))
        }
        (_, Logical::Decimal { precision, scale }) => {
            let number = decimal(json, precision, scale)?;
            let bytes = number.to_be_bytes();
            let bytes = shortest(&bytes);
            if bytes.len() > *size {
                return Err(too_large(name, json));
            }
            let sign = if number < 0 { 0xFF } else { 0 };
            out.resize(out.len() + size - bytes.len(), sign);
            out.extend_from_slice(bytes);
            Ok(())
        }
        _ => Err(expected(&format!("{name} (a string)"), json)),
    }
}

fn decimal(json: Json<'_>, precision: u32, scale: u32) -> Result<i128, Invalid> {
    unscaled(json, precision, scale).ok_or_else(|| {
        let form = format!("a number of at most {precision} digits, {scale} of them after the point");
        expected(&form, json)
    })
}

/// A number with a sign in as few bytes as hold it.
fn shortest(number: &[u8; 16]) -> &[u8] {
    let sign = number[0] & 0x80;
    let fill = if sign == 0 { 0 } else { 0xFF };
    let starts = number
        .windows(2)
        .take_while(|two| two[0] == fill && two[1] & 0x80 == sign);
    &number[starts.count()..]
}
