//! Text from outside: names in a component, a plugin's refusal, what a client or a broker says. It is bounded and
//! escaped before it goes into a message, a reply, a log line or a terminal.

use std::{
    borrow::Cow,
    fmt::{self, Write},
};

/// The most that a message quotes of a text from outside, bytes.
pub const MESSAGE_BYTES: usize = 1 << 10;

/// The most of a whole message, with its quotes, bytes.
pub const WHOLE_BYTES: usize = 2 * MESSAGE_BYTES;

/// Characters that begin a line, or make a terminal do something or change the order of what it shows. Each has at most
/// four hexadecimal digits.
pub(crate) fn is_dangerous(char: char) -> bool {
    char.is_control() || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Not much more than `bytes` of a text: its beginning, its whole length, and its end. Both ends are useful: the
/// beginning of a name says whose it is, the end of an error says what went wrong.
pub fn shorten(text: &str, bytes: usize) -> Cow<'_, str> {
    if text.len() <= bytes {
        return Cow::Borrowed(text);
    }
    let begin = text.floor_char_boundary(bytes * 2 / 3);
    let end = text.ceil_char_boundary(text.len() - bytes / 3);
    let (begin, end) = (&text[..begin], &text[end..]);
    Cow::Owned(format!("{begin} … ({} bytes) … {end}", text.len()))
}

/// [`shorten`] for a text that is kept: the result does not keep the memory of the whole text.
pub fn shortened(text: String, bytes: usize) -> String {
    match shorten(&text, bytes) {
        Cow::Borrowed(_) => text,
        Cow::Owned(short) => short,
    }
}

/// A text from outside, fit for a message: bounded, on one line, and without anything that a terminal would obey.
pub fn said(text: &str) -> String {
    let short = shorten(text, MESSAGE_BYTES);
    let mut said = String::with_capacity(short.len());
    // Writing to a `String` cannot fail.
    let _ = write_escaped(&mut said, &short, is_dangerous);
    said
}

/// [`said`] for an error whose lines belong together: they are joined by blanks.
pub fn said_on_one_line(text: &str) -> String {
    said(&text.replace('\n', " "))
}

/// A text for a terminal. Lines stay lines; all else that a terminal would obey is escaped.
pub fn for_terminal(text: &str) -> Cow<'_, str> {
    let obeyed = |char| is_dangerous(char) && char != '\n' && char != '\t';
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    let _ = write_escaped(&mut escaped, text, obeyed);
    Cow::Owned(escaped)
}

/// Writes a text, with these characters escaped as in a Rust literal.
pub(crate) fn write_escaped(out: &mut impl Write, text: &str, is_escaped: impl Fn(char) -> bool) -> fmt::Result {
    let mut rest = text;
    while let Some((before, char, after)) = rest
        .char_indices()
        .find_map(|(at, char)| is_escaped(char).then(|| (&rest[..at], char, &rest[at + char.len_utf8()..])))
    {
        out.write_str(before)?;
        for escaped in char.escape_default() {
            out.write_char(escaped)?;
        }
        rest = after;
    }
    out.write_str(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_text_keeps_both_ends_and_says_how_long_it_was() {
        let name = format!("begin{}end", "x".repeat(1 << 20));
        let short = shorten(&name, 30);
        assert!(short.starts_with("begin") && short.ends_with("end"), "{short}");
        assert!(short.contains("(1048584 bytes)"), "{short}");
        assert_eq!(shorten("short", 5), "short");
    }

    #[test]
    fn what_is_kept_of_a_giant_text_is_not_giant() {
        assert!(shortened("y".repeat(1 << 20), 100).capacity() < 1_000);
    }

    #[test]
    fn a_terminal_gets_lines_and_nothing_that_it_obeys() {
        let evil = "a\nb\tc\r\x1b[2J\u{9b}\u{202e}\0";
        let shown = for_terminal(evil);
        assert_eq!(shown, "a\nb\tc\\r\\u{1b}[2J\\u{9b}\\u{202e}\\u{0}");
        assert_eq!(said("a\nb"), "a\\nb");
        assert_eq!(for_terminal("ä\n"), "ä\n");
    }

    proptest! {
        #[test]
        fn no_text_is_cut_within_a_character_or_left_long(text in any::<String>(), bytes in 0_usize..64) {
            let short = shorten(&text, bytes);
            prop_assert!(short.len() <= bytes + 40);
            prop_assert!(said(&text).chars().all(|char| !is_dangerous(char)));
        }
    }
}
