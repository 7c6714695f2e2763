//! The type Timestamp: a `date-time` of RFC 3339. Consumers' libraries fail on an event whose time they cannot read, so
//! such an event must not reach them.

/// Whether this is a time, by the grammar of RFC 3339 (5.6) and its ranges (5.7).
pub(super) fn is_timestamp(text: &str) -> bool {
    checked(text.as_bytes()).unwrap_or(false)
}

/// None if it is too short.
fn checked(text: &[u8]) -> Option<bool> {
    let (date, rest) = text.split_first_chunk()?;
    let (separator, rest) = rest.split_first()?;
    let (time, rest) = rest.split_first_chunk()?;
    let is_offset = is_offset(without_fraction(rest));
    Some(is_date(date) && separator.eq_ignore_ascii_case(&b'T') && is_time(time) && is_offset)
}

fn is_date(&[y0, y1, y2, y3, dash, m0, m1, other_dash, d0, d1]: &[u8; 10]) -> bool {
    let (Some(century), Some(year)) = (two(y0, y1), two(y2, y3)) else {
        return false;
    };
    let (Some(month), Some(day)) = (two(m0, m1), two(d0, d1)) else {
        return false;
    };
    // A year that ends in 00 is a leap year only if 400 divides it.
    let is_leap = if year == 0 { century % 4 == 0 } else { year % 4 == 0 };
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return false,
    };
    (dash, other_dash) == (b'-', b'-') && (1..=days).contains(&day)
}

fn is_time(&[h0, h1, colon, m0, m1, other_colon, s0, s1]: &[u8; 8]) -> bool {
    // A leap second is the 60th.
    (colon, other_colon) == (b':', b':') && up_to(23, h0, h1) && up_to(59, m0, m1) && up_to(60, s0, s1)
}

/// What follows the fraction of a second, if there is one.
fn without_fraction(rest: &[u8]) -> &[u8] {
    let Some(digits) = rest.strip_prefix(b".") else {
        return rest;
    };
    let end = digits.iter().position(|byte| !byte.is_ascii_digit());
    match end.unwrap_or(digits.len()) {
        // Not an offset, so the whole is refused.
        0 => rest,
        end => &digits[end..],
    }
}

fn is_offset(offset: &[u8]) -> bool {
    match *offset {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h0, h1, b':', m0, m1] => up_to(23, h0, h1) && up_to(59, m0, m1),
        _ => false,
    }
}

fn up_to(most: u8, tens: u8, ones: u8) -> bool {
    two(tens, ones).is_some_and(|number| number <= most)
}

fn two(tens: u8, ones: u8) -> Option<u8> {
    let are_digits = tens.is_ascii_digit() && ones.is_ascii_digit();
    are_digits.then(|| 10 * (tens - b'0') + (ones - b'0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_that_rfc_3339_has_is_taken_and_no_other() {
        for time in [
            "2018-04-05T17:31:00Z",
            "1985-04-12T23:20:50.52Z",
            "1996-12-19T16:39:57-08:00",
            "1990-12-31T23:59:60Z",
            "1937-01-01T12:00:27.87+00:20",
            "2000-02-29t00:00:00z",
            "2024-02-29T00:00:00.123456789012+23:59",
            "0000-01-01T00:00:00Z",
        ] {
            assert!(is_timestamp(time), "{time}");
        }
        for time in [
            "",
            "now",
            "1522949460000",
            "2018-04-05",
            "2018-04-05T17:31:00",
            "2018-04-05 17:31:00Z",
            "2018-04-05T17:31Z",
            "2018-4-5T17:31:00Z",
            "2018-04-05T17:31:00.Z",
            "2018-04-05T17:31:00,5Z",
            "2018-04-05T17:31:00+0200",
            "2018-04-05T17:31:00+02",
            "2018-04-05T17:31:00ZZ",
            "2018-04-05T24:00:00Z",
            "2018-04-05T17:60:00Z",
            "2018-04-05T17:31:61Z",
            "2018-04-31T17:31:00Z",
            "2018-00-01T17:31:00Z",
            "2018-13-01T17:31:00Z",
            "2018-01-00T17:31:00Z",
            "2018-02-29T17:31:00Z",
            "1900-02-29T17:31:00Z",
            "2018-04-05T17:31:00+24:00",
            "2018-04-05T17:31:00+00:60",
            "+018-04-05T17:31:00Z",
            "2018-04-05T17:31:00Zä",
            "２018-04-05T17:31:00Z",
        ] {
            assert!(!is_timestamp(time), "{time}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_of_times_panic(text in any::<String>(), digits in "[0-9T:.Z+-]{0,40}") {
            let _ = (is_timestamp(&text), is_timestamp(&digits));
        }
    }
}
