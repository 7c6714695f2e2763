//! What a schema's text has to keep to before it is parsed.
//!
//! The parser bounds how deep messages nest. It copies the name after `extend` into each field there, and the options after
//! `extensions` into each range, so that a text of 1 MiB could take gigabytes; and each token costs it some hundred bytes.

use crate::BadSchema;

/// The most bytes of one text: a registry keeps a schema in one record of a Kafka topic, whose default limit this is.
pub(super) const MOST_TEXT: usize = 1 << 20;
/// The most bytes of a name with its dots. Class files of Java, for one, cannot hold names of over 65,535 bytes; people stop at 200.
pub(super) const MOST_NAME: usize = 512;
/// The most words and signs. A field has five.
const MOST_TOKENS: usize = 300_000;
/// The most numbers with an exponent: each may be written out again with its hundreds of digits.
const MOST_EXPONENTS: usize = 1_000;
/// The most ranges of an `extensions` that has options.
const MOST_RANGES: usize = 64;

/// Refuses a text that would cost the parser much more than its size. What is not Protobuf passes: the parser says it better.
pub(super) fn check(file: &str, text: &str) -> Result<(), BadSchema> {
    if text.len() > MOST_TEXT {
        return Err(BadSchema::new(format!(
            "{file}: it has {} bytes; at most {MOST_TEXT} can be used",
            text.len()
        )));
    }
    let mut tokens = 0;
    let mut exponents = 0;
    let mut name = 0;
    // Of the `extensions` that has begun, how many ranges there were.
    let mut ranges = None;
    let mut before = Token::Other;
    let mut rest = text.as_bytes();
    while let Some((token, after)) = next(rest) {
        rest = after;
        tokens += 1;
        exponents += usize::from(token.has_exponent());
        name = match token {
            Token::Word(word) if before == Token::Sign(b'.') => name + word.len(),
            Token::Word(word) => word.len(),
            Token::Sign(b'.') => name + 1,
            Token::Sign(_) | Token::Other => 0,
        };
        ranges = match (token, ranges) {
            (Token::Word(b"extensions"), _) => Some(1),
            (Token::Sign(b','), Some(ranges)) => Some(ranges + 1),
            (Token::Sign(b'['), Some(ranges)) if ranges > MOST_RANGES => {
                return Err(BadSchema::new(format!(
                    "{file}: an `extensions` with options has {ranges} ranges; at most {MOST_RANGES} can be used"
                )));
            }
            (Token::Sign(b'[' | b';' | b'{' | b'}'), _) => None,
            (_, ranges) => ranges,
        };
        if name > MOST_NAME {
            return Err(BadSchema::new(format!(
                "{file}: a name in it has over {MOST_NAME} bytes; shorten it"
            )));
        }
        if exponents > MOST_EXPONENTS {
            return Err(BadSchema::new(format!(
                "{file}: it has over {MOST_EXPONENTS} numbers with an exponent; take some out of its options"
            )));
        }
        if tokens > MOST_TOKENS {
            return Err(BadSchema::new(format!(
                "{file}: it has over {MOST_TOKENS} words and signs; divide it into files that import each other"
            )));
        }
        before = token;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    /// Letters, digits and underscores.
    Word(&'t [u8]),
    Sign(u8),
    /// A string.
    Other,
}

impl Token<'_> {
    /// Whether it is a decimal number with an exponent, or the end of one.
    fn has_exponent(self) -> bool {
        match self {
            Token::Word([b'0', b'x' | b'X', ..]) => false,
            Token::Word(word @ [b'0'..=b'9', ..]) => word.iter().any(|byte| matches!(byte, b'e' | b'E')),
            _ => false,
        }
    }
}

/// The next token, without comments before it, and what follows it.
fn next(mut text: &[u8]) -> Option<(Token<'_>, &[u8])> {
    loop {
        text = text.trim_ascii_start();
        match text {
            // `#` begins a comment inside of an option's braces and is an error elsewhere.
            [b'#', ..] | [b'/', b'/', ..] => text = &text[until(text, |byte| byte == b'\n')..],
            [b'/', b'*', inside @ ..] => {
                let end = inside.windows(2).position(|two| two == b"*/");
                text = end.map_or(&[], |end| &inside[end + 2..]);
            }
            [quote @ (b'"' | b'\''), inside @ ..] => return Some((Token::Other, after_string(*quote, inside))),
            &[byte, ..] if is_word(byte) => {
                let (word, rest) = text.split_at(until(text, |byte| !is_word(byte)));
                return Some((Token::Word(word), rest));
            }
            [sign, rest @ ..] => return Some((Token::Sign(*sign), rest)),
            [] => return None,
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn until(text: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|&byte| ends(byte)).unwrap_or(text.len())
}

/// What follows the string that this is inside of.
fn after_string(quote: u8, mut inside: &[u8]) -> &[u8] {
    loop {
        inside = match inside {
            [b'\\', _, rest @ ..] => rest,
            [byte, rest @ ..] if *byte == quote => return rest,
            [_, rest @ ..] => rest,
            [] => return inside,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> usize {
        let mut rest = text.as_bytes();
        let mut tokens = 0;
        while let Some((_, after)) = next(rest) {
            rest = after;
            tokens += 1;
        }
        tokens
    }

    #[test]
    fn comments_and_strings_hide_nothing_that_follows_them() {
        assert_eq!(tokens("a /* b ; */ c // d\n e '\\'f' \"g'\" h # i\n j"), 7);
        assert_eq!(tokens("/* never closed"), 0);
        assert_eq!(tokens("\"never closed \\"), 1);
    }

    #[test]
    fn a_name_that_comments_and_blanks_divide_is_measured_as_a_whole() {
        let long = format!("package a{};", " . /* b */ abc".repeat(200));
        assert!(check("x.proto", &long).is_err());
        assert!(check("x.proto", &"word ".repeat(1_000)).is_ok());
    }

    #[test]
    fn options_are_not_copied_into_a_multitude_of_ranges() {
        let ranges = "1, /* ; */ 2".to_owned() + &", 3".repeat(100);
        assert!(check("x.proto", &format!("message A {{ extensions {ranges} [(a) = 'x']; }}")).is_err());
        assert!(check("x.proto", &format!("message A {{ extensions {ranges}; }}")).is_ok());
    }

    #[test]
    fn a_text_of_nothing_but_signs_is_refused_before_it_is_parsed() {
        let numbers = "a: 9e307 b: 1.5E-300 c: 0xe ".repeat(400);
        assert!(check("x.proto", &numbers).is_ok());
        assert!(check("x.proto", &numbers.repeat(2)).is_err());
        assert!(check("x.proto", &";".repeat(MOST_TOKENS + 1)).is_err());
        assert!(check("x.proto", &" ".repeat(MOST_TEXT + 1)).is_err());
    }
}
