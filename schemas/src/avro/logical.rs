//! Logical types: which ones change what is taken, and their forms as text.

use super::{
    compile::Attributes,
    types::{Kind, Logical},
};
use crate::document::Json;

const MILLIS: i64 = 1_000;
const MICROS: i64 = 1_000_000;
const NANOS: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;

/// The logical type of an object in a schema's text. One that is unknown, or wrong for its form, changes nothing, as the specification
/// says.
pub(super) fn logical(kind: &Kind, attributes: &Attributes<'_>) -> Logical {
    let Some(Json::Text(name)) = attributes.logical else {
        return Logical::None;
    };
    match (name, kind) {
        ("date", Kind::Int) => Logical::Date,
        ("time-millis", Kind::Int) => Logical::Time(MILLIS),
        ("time-micros", Kind::Long) => Logical::Time(MICROS),
        ("timestamp-millis", Kind::Long) => Logical::Timestamp(MILLIS),
        ("timestamp-micros", Kind::Long) => Logical::Timestamp(MICROS),
        ("timestamp-nanos", Kind::Long) => Logical::Timestamp(NANOS),
        ("local-timestamp-millis", Kind::Long) => Logical::LocalTimestamp(MILLIS),
        ("local-timestamp-micros", Kind::Long) => Logical::LocalTimestamp(MICROS),
        ("local-timestamp-nanos", Kind::Long) => Logical::LocalTimestamp(NANOS),
        ("uuid", Kind::String) => Logical::Uuid,
        ("uuid", Kind::Fixed(fixed)) if fixed.size == 16 => Logical::Uuid,
        ("decimal", Kind::Bytes) => decimal(attributes, u32::MAX),
        ("decimal", Kind::Fixed(fixed)) => decimal(attributes, digits(fixed.size)),
        _ => Logical::None,
    }
}

fn decimal(attributes: &Attributes<'_>, most: u32) -> Logical {
    let number = |json| match json {
        Some(Json::Signed(number)) => u32::try_from(number).ok(),
        _ => None,
    };
    let scale = attributes.scale.map_or(Some(0), |scale| number(Some(scale)));
    match (number(attributes.precision), scale) {
        (Some(precision), Some(scale)) if (1..=most).contains(&precision) && scale <= precision => {
            Logical::Decimal { precision, scale }
        }
        _ => Logical::None,
    }
}

/// The most decimal digits, all of them, that so many bytes hold as a number with a sign.
fn digits(bytes: usize) -> u32 {
    let bits = (8.0 * bytes as f64 - 1.0).max(0.0);
    (bits * std::f64::consts::LOG10_2) as u32
}

impl Logical {
    /// The number that this text stands for, in RFC 3339's forms; the reason if there is none. A timestamp needs an offset, a local one may
    /// have none.
    pub(super) fn number_of(self, text: &str) -> Result<i64, &'static str> {
        const OTHER: &str = "a number";
        let mut text = Text(text);
        let number = match self {
            Self::Date => text.days().ok_or("a number of days or a date as in \"2025-03-30\"")?,
            Self::Time(second) => {
                const TIME: &str = "a number or a time as in \"10:20:30.123\"";
                let (seconds, nanos) = text.seconds().ok_or(TIME)?;
                whole(seconds, nanos, second)?
            }
            Self::Timestamp(second) => {
                const TIMESTAMP: &str = "a number or a time as in \"2025-03-30T10:20:30.123Z\", with its offset";
                let (seconds, nanos) = text.date_time().ok_or(TIMESTAMP)?;
                let offset = text.offset().ok_or(TIMESTAMP)?;
                whole(seconds - offset, nanos, second)?
            }
            Self::LocalTimestamp(second) => {
                const LOCAL: &str = "a number or a time as in \"2025-03-30T10:20:30.123\", without an offset";
                let (seconds, nanos) = text.date_time().ok_or(LOCAL)?;
                if !text.0.is_empty() {
                    return Err(LOCAL);
                }
                whole(seconds, nanos, second)?
            }
            Self::None | Self::Decimal { .. } | Self::Uuid => return Err(OTHER),
        };
        match text.0 {
            "" => Ok(number),
            _ => Err("nothing after the date or time"),
        }
    }
}

/// A time in parts of a second, none of which gets lost.
fn whole(seconds: i64, nanos: i64, second: i64) -> Result<i64, &'static str> {
    let part = NANOS / second;
    if nanos % part != 0 {
        return Err("a time with no more digits of a second than its type holds");
    }
    let number = seconds
        .checked_mul(second)
        .and_then(|number| number.checked_add(nanos / part));
    number.ok_or("a time that its type can hold")
}

/// What is left of a text.
struct Text<'t>(&'t str);

impl Text<'_> {
    /// So many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        if !number.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        self.0 = rest;
        number.parse().ok()
    }

    /// One of these letters.
    fn letter(&mut self, letters: [char; 2]) -> Option<char> {
        let letter = self.0.chars().next().filter(|letter| letters.contains(letter))?;
        self.0 = &self.0[letter.len_utf8()..];
        Some(letter)
    }

    /// Days from 1970-01-01 to a date.
    fn days(&mut self) -> Option<i64> {
        let year = self.number(4)?;
        self.letter(['-'; 2])?;
        let month = self.number(2)?;
        self.letter(['-'; 2])?;
        let day = self.number(2)?;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        if !(1..=last).contains(&day) {
            return None;
        }
        // Years begin in March, so that a leap year's day is its last. 719,468 days lie between the first of March of year 0 and 1970.
        let (year, month) = if month > 2 {
            (year, month - 3)
        } else {
            (year - 1, month + 9)
        };
        let of_year = (153 * month + 2) / 5 + day - 1;
        let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        Some(365 * year + leap_days + of_year - 719_468)
    }

    /// Seconds since midnight, and nanoseconds of the last. No leap seconds, which Avro's numbers do not have.
    fn seconds(&mut self) -> Option<(i64, i64)> {
        let hour = self.number(2).filter(|hour| *hour < 24)?;
        self.letter([':'; 2])?;
        let minute = self.number(2).filter(|minute| *minute < 60)?;
        self.letter([':'; 2])?;
        let second = self.number(2).filter(|second| *second < 60)?;
        let mut nanos = 0;
        if self.letter(['.'; 2]).is_some() {
            let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=9).contains(&digits) {
                return None;
            }
            nanos = self.number(digits)?;
            for _ in digits..9 {
                nanos *= 10;
            }
        }
        Some((hour * 3_600 + minute * 60 + second, nanos))
    }

    /// Seconds since 1970-01-01T00:00:00, and nanoseconds of the last.
    fn date_time(&mut self) -> Option<(i64, i64)> {
        let days = self.days()?;
        self.letter(['T', 't'])?;
        let (seconds, nanos) = self.seconds()?;
        Some((days * DAY_SECONDS + seconds, nanos))
    }

    /// Seconds by which a clock is before UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.letter(['Z', 'z']).is_some() {
            return Some(0);
        }
        let sign = self.letter(['+', '-'])?;
        let hours = self.number(2).filter(|hours| *hours < 24)?;
        self.letter([':'; 2])?;
        let minutes = self.number(2).filter(|minutes| *minutes < 60)?;
        let seconds = hours * 3_600 + minutes * 60;
        Some(if sign == '-' { -seconds } else { seconds })
    }
}

/// A uuid's bytes, from its form with four dashes.
pub(super) fn uuid(text: &str) -> Option<[u8; 16]> {
    let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let mut digits = 0;
    let mut uuid = 0_u128;
    for (at, letter) in text.iter().enumerate() {
        match (at, letter) {
            (8 | 13 | 18 | 23, b'-') => {}
            (8 | 13 | 18 | 23, _) => return None,
            _ => {
                let digit = char::from(*letter).to_digit(16)?;
                uuid = (uuid << 4) | u128::from(digit);
                digits += 1;
            }
        }
    }
    (digits == 32).then(|| uuid.to_be_bytes())
}

/// The unscaled value of a decimal, if the number is one with so many digits, at most, and so many after the point.
///
/// A number with a fraction was read as a double by then. Its shortest form is what was written if that had at most 15 digits; other ones
/// are refused.
pub(super) fn unscaled(json: Json<'_>, precision: u32, scale: u32) -> Option<i128> {
    let (number, exponent) = match json {
        Json::Signed(number) => (i128::from(number), 0),
        Json::Unsigned(number) => (i128::from(number), 0),
        Json::Float(number) => shortest(number)?,
        _ => return None,
    };
    let shift = u32::try_from(i64::from(scale) + exponent).ok()?;
    let number = match number {
        0 => 0,
        number => number.checked_mul(10_i128.checked_pow(shift)?)?,
    };
    let fits = match 10_u128.checked_pow(precision) {
        Some(bound) => number.unsigned_abs() < bound,
        None => true,
    };
    fits.then_some(number)
}

/// A double as its shortest digits and an exponent of ten.
fn shortest(number: f64) -> Option<(i128, i64)> {
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e')?;
    let exponent: i64 = exponent.parse().ok()?;
    let (before, after) = digits.split_once('.').unwrap_or((digits, ""));
    let number = format!("{before}{after}");
    if number.trim_start_matches('-').len() > 15 {
        return None;
    }
    let after = i64::try_from(after.len()).ok()?;
    Some((number.parse().ok()?, exponent - after))
}
