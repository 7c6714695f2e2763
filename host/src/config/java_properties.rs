//! The text format of Java's `.properties` files, as `java.util.Properties.load` describes it.

use std::iter::Peekable;
use std::str::Chars;

/// Reads `key = value`, `key: value` and `key value` lines. `#` and `!` start comments. A backslash continues a line or
/// escapes a character. Order and repeated keys are kept.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    for (number, line) in logical_lines(text) {
        let mut chars = line.chars().peekable();
        let key = take(&mut chars, number, |c| matches!(c, '=' | ':') || is_blank(c))?;
        skip_blanks(&mut chars);
        if chars.next_if(|c| matches!(c, '=' | ':')).is_some() {
            skip_blanks(&mut chars);
        }
        let value = take(&mut chars, number, |_| false)?;
        pairs.push((key, value.trim_end().to_owned()));
    }
    Ok(pairs)
}

/// Lines without comments and empty lines, with continued lines joined. The number is that of the first line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start_matches(is_blank);
        if open.is_none() && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let (number, mut joined) = open.take().unwrap_or((index + 1, String::new()));
        let backslashes = line.len() - line.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            joined.push_str(&line[..line.len() - 1]);
            open = Some((number, joined));
        } else {
            joined.push_str(line);
            lines.push((number, joined));
        }
    }
    lines.extend(open);
    lines
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

fn skip_blanks(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|&c| is_blank(c)).is_some() {}
}

fn take(chars: &mut Peekable<Chars<'_>>, line: usize, ends: impl Fn(char) -> bool) -> Result<String, String> {
    let mut out = String::new();
    while let Some(c) = chars.next_if(|&c| !ends(c)) {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\x0c'),
            Some('u') => out.push(unicode(chars).ok_or_else(|| {
                format!("properties line {line}: \\u must be followed by four hexadecimal digits of a character")
            })?),
            Some(other) => out.push(other),
            None => {}
        }
    }
    Ok(out)
}

/// The text is UTF-16 as in Java: a pair of surrogates is one character.
fn unicode(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    let first = unit(chars)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first);
    }
    (chars.next()? == '\\' && chars.next()? == 'u').then_some(())?;
    let second = unit(chars)?;
    (0xdc00..0xe000).contains(&second).then_some(())?;
    char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
}

fn unit(chars: &mut Peekable<Chars<'_>>) -> Option<u32> {
    (0..4).try_fold(0, |sum, _| Some(sum * 16 + chars.next()?.to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_properties_file_is_read_as_java_reads_it() {
        let text = "# comment\n! another\n\nacks=all\n  linger.ms = 500 \nclient.id: orders\\ app\nretries 3\n\
                    ssl.ca=a\\\n    b\\\n    c\npath=C\\:\\\\x\nuni=\\u00e9\\ud83d\\ude00\nempty\nodd==x";
        let pairs = parse(text).expect("readable");
        let expected = [
            ("acks", "all"),
            ("linger.ms", "500"),
            ("client.id", "orders app"),
            ("retries", "3"),
            ("ssl.ca", "abc"),
            ("path", "C:\\x"),
            ("uni", "é😀"),
            ("empty", ""),
            ("odd", "=x"),
        ];
        let expected: Vec<(String, String)> = expected.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
        assert_eq!(pairs, expected);
    }

    #[test]
    fn a_broken_escape_names_its_line() {
        let error = parse("acks=all\nx=\\u00zz").expect_err("broken");
        assert!(error.contains("line 2"), "{error}");
    }
}
