//! Reads Java's `sasl.jaas.config` the way Kafka's Java client does.
//!
//! The form is `<login module> <flag> <option>=<value> … ;`. Java splits it with its `StreamTokenizer` into words,
//! strings in double or single quotes with escapes, and comments. No error shows any part of the text, since any part
//! may be the password.

use std::iter::Peekable;
use std::str::Chars;

/// The login, and the family of mechanisms that it is for.
#[derive(PartialEq, Eq)]
pub(super) struct Login {
    pub(super) family: Family,
    pub(super) username: String,
    pub(super) password: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Plain,
    Scram,
}

/// What is wrong with the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum JaasError {
    #[error("holds a quote that is not closed on its line")]
    OpenQuote,
    #[error("cannot be read: put every value in double quotes, as in username=\"me\"")]
    Unreadable,
    #[error("holds no login module")]
    Empty,
    #[error("holds more than one login module; keep one")]
    Several,
    #[error("needs one of required, requisite, sufficient, optional after the login module")]
    Flag,
    #[error("gives no username")]
    NoUsername,
    #[error("gives no password")]
    NoPassword,
    #[error("asks for tokenauth (delegation tokens), which librdkafka cannot do; use a SCRAM user")]
    TokenAuth,
    #[error("asks for Kerberos, which this build has not; use SASL PLAIN, SCRAM or TLS client certificates")]
    Kerberos,
    #[error("asks for OAuth, whose tokens this build cannot fetch; use SASL PLAIN, SCRAM or TLS client certificates")]
    OAuth,
    #[error("asks for AWS IAM, which needs Java code; use SASL SCRAM or TLS client certificates, which MSK has too")]
    AwsIam,
    #[error("names a login module that is Java code; only PlainLoginModule and ScramLoginModule can be translated")]
    OtherModule,
}

/// Reads the only login of the text.
pub(super) fn parse(text: &str) -> Result<Login, JaasError> {
    let mut tokens = tokens(text)?.into_iter().peekable();
    let module = match tokens.next() {
        Some(Token::Word(module) | Token::Quoted(module)) => module,
        Some(_) => return Err(JaasError::Unreadable),
        None => return Err(JaasError::Empty),
    };
    let family = family(&module)?;
    const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];
    match tokens.next() {
        Some(Token::Word(flag)) if FLAGS.iter().any(|known| known.eq_ignore_ascii_case(&flag)) => {}
        _ => return Err(JaasError::Flag),
    }
    let (mut username, mut password) = (None, None);
    loop {
        let option = match tokens.next() {
            // Java insists on the semicolon. Without it, the meaning is still clear.
            None | Some(Token::Semicolon) => break,
            Some(Token::Word(option) | Token::Quoted(option)) => option,
            Some(Token::Equals) => return Err(JaasError::Unreadable),
        };
        let (Some(Token::Equals), Some(Token::Word(value) | Token::Quoted(value))) = (tokens.next(), tokens.next())
        else {
            return Err(JaasError::Unreadable);
        };
        match option.as_str() {
            "username" => username = Some(value),
            "password" => password = Some(value),
            "tokenauth" if value.eq_ignore_ascii_case("true") => return Err(JaasError::TokenAuth),
            // Both modules ignore options that they do not know.
            _ => {}
        }
    }
    if tokens.next().is_some() {
        return Err(JaasError::Several);
    }
    let username = username.ok_or(JaasError::NoUsername)?;
    let password = password.ok_or(JaasError::NoPassword)?;
    Ok(Login {
        family,
        username,
        password,
    })
}

/// The family, by the class's own name, since some distributions move Kafka's classes to another package.
fn family(module: &str) -> Result<Family, JaasError> {
    match module.rsplit('.').next().unwrap_or_default() {
        "PlainLoginModule" => Ok(Family::Plain),
        "ScramLoginModule" => Ok(Family::Scram),
        "Krb5LoginModule" => Err(JaasError::Kerberos),
        "OAuthBearerLoginModule" => Err(JaasError::OAuth),
        "IAMLoginModule" => Err(JaasError::AwsIam),
        _ => Err(JaasError::OtherModule),
    }
}

enum Token {
    Word(String),
    Quoted(String),
    Equals,
    Semicolon,
}

fn tokens(text: &str) -> Result<Vec<Token>, JaasError> {
    let mut chars = text.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(char) = chars.next() {
        match char {
            _ if char.is_whitespace() => {}
            // A continued line of a `.properties` file; a TOML string may have kept the backslash.
            '\\' if matches!(chars.peek(), Some('\n' | '\r')) => {}
            '=' => tokens.push(Token::Equals),
            ';' => tokens.push(Token::Semicolon),
            '"' | '\'' => tokens.push(Token::Quoted(quoted(&mut chars, char)?)),
            '/' => comment(&mut chars)?,
            _ if is_word(char) => {
                let mut word = String::from(char);
                while let Some(next) = chars.next_if(|next| is_word(*next)) {
                    word.push(next);
                }
                // Java begins a comment here, which would cut a bare password with a slash short.
                if chars.peek() == Some(&'/') {
                    return Err(JaasError::Unreadable);
                }
                tokens.push(Token::Word(word));
            }
            _ => return Err(JaasError::Unreadable),
        }
    }
    Ok(tokens)
}

/// Java's word characters, as its Kafka client sets them. Any other character in a bare value is an error in Java too.
fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_' | '$') || char >= '\u{a0}'
}

fn comment(chars: &mut Peekable<Chars<'_>>) -> Result<(), JaasError> {
    match chars.next() {
        Some('/') => {
            chars.by_ref().find(|char| matches!(char, '\n' | '\r'));
            Ok(())
        }
        Some('*') => loop {
            match chars.next() {
                Some('*') if chars.peek() == Some(&'/') => {
                    chars.next();
                    return Ok(());
                }
                Some(_) => {}
                None => return Err(JaasError::Unreadable),
            }
        },
        _ => Err(JaasError::Unreadable),
    }
}

/// The rest of a string whose opening quote has been read.
fn quoted(chars: &mut Peekable<Chars<'_>>, quote: char) -> Result<String, JaasError> {
    let mut string = String::new();
    loop {
        match chars.next() {
            Some(char) if char == quote => return Ok(string),
            Some('\\') => string.push(escaped(chars)?),
            // Java silently ends the string here, which cuts the password short.
            None | Some('\n' | '\r') => return Err(JaasError::OpenQuote),
            Some(char) => string.push(char),
        }
    }
}

/// The character after a backslash: up to three octal digits (up to `\377`), C's letters, or the character itself.
fn escaped(chars: &mut Peekable<Chars<'_>>) -> Result<char, JaasError> {
    let char = match chars.next().ok_or(JaasError::OpenQuote)? {
        first @ '0'..='7' => {
            let mut code = first as u32 - '0' as u32;
            let more = if first <= '3' { 2 } else { 1 };
            for _ in 0..more {
                let Some(digit) = chars.next_if(|next| matches!(next, '0'..='7')) else {
                    break;
                };
                code = code * 8 + (digit as u32 - '0' as u32);
            }
            // librdkafka takes C strings, which end at a NUL.
            char::from_u32(code)
                .filter(|char| *char != '\0')
                .ok_or(JaasError::Unreadable)?
        }
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        other => other,
    };
    Ok(char)
}

#[cfg(test)]
mod tests {
    use super::{Family, JaasError, parse};

    const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";

    #[test]
    fn no_spelling_that_java_takes_changes_the_password() {
        for (options, password) in [
            (r#"username="me" password="pw";"#, "pw"),
            (r#"password="pw" username="me";"#, "pw"),
            (r#"username="me" password="pw""#, "pw"),
            (r"username='me' password='p w';", "p w"),
            (r#"username='me' password='p"w';"#, "p\"w"),
            (r#"username="me" password="p'w;=//x";"#, "p'w;=//x"),
            (r#"username="me" password="p\"\\\'w";"#, "p\"\\'w"),
            (r#"username="me" password="a\tb\n\101\60\0607";"#, "a\tb\nA0\u{30}7"),
            (r#"username="me" password="\477";"#, "\u{27}7"),
            (r"username=me password=pw-_$.9;", "pw-_$.9"),
            (r#"username = "me"   password= "pw" ;"#, "pw"),
            (r#"serviceName="kafka" username="me" password="pw" user_me="x";"#, "pw"),
            ("username=\"me\" \\\n password=\"pw\";", "pw"),
            ("// who\nusername=\"me\" /* and * how */ password=\"pw\";\n", "pw"),
            (r#"username="me" password="pässwörd→";"#, "pässwörd→"),
            (r#"username="me" password="first" password="pw";"#, "pw"),
        ] {
            let login =
                parse(&format!("{PLAIN} required {options}")).unwrap_or_else(|wrong| panic!("{options}: {wrong}"));
            assert_eq!(
                (login.username.as_str(), login.password.as_str()),
                ("me", password),
                "{options}"
            );
            assert_eq!(login.family, Family::Plain);
        }
    }

    #[test]
    fn a_scram_login_moved_to_another_package_is_still_one() {
        let text = "shaded.org.apache.kafka.ScramLoginModule REQUIRED username='u' password='p' tokenauth=false;";
        assert!(parse(text).is_ok_and(|login| login.family == Family::Scram));
    }

    #[test]
    fn a_line_that_cannot_be_meant_is_never_half_understood() {
        for (text, wrong) in [
            (String::new(), JaasError::Empty),
            (" // nothing".to_owned(), JaasError::Empty),
            (format!("{PLAIN} username=\"me\" password=\"pw\";"), JaasError::Flag),
            (PLAIN.to_owned(), JaasError::Flag),
            (format!("{PLAIN} required username=\"me\";"), JaasError::NoPassword),
            (format!("{PLAIN} required password=\"pw\";"), JaasError::NoUsername),
            (
                format!("{PLAIN} required username=\"me\" password=\"pw;"),
                JaasError::OpenQuote,
            ),
            (
                format!("{PLAIN} required username=\"me\" password=\"p\nw\";"),
                JaasError::OpenQuote,
            ),
            (
                format!("{PLAIN} required username=\"me\" password=\"pw\\"),
                JaasError::OpenQuote,
            ),
            (
                format!("{PLAIN} required username=\"me\" password=p!w;"),
                JaasError::Unreadable,
            ),
            (
                format!("{PLAIN} required username=\"me\" password=pw//x;"),
                JaasError::Unreadable,
            ),
            (
                format!("{PLAIN} required username=\"me\" password=\"p\\0w\";"),
                JaasError::Unreadable,
            ),
            (
                format!("{PLAIN} required username=\"me\" password;"),
                JaasError::Unreadable,
            ),
            (format!("{PLAIN} required =\"me\";"), JaasError::Unreadable),
            (format!("{PLAIN} required /* username=\"me\""), JaasError::Unreadable),
            (
                format!("{PLAIN} required username=a password=b; {PLAIN} required;"),
                JaasError::Several,
            ),
            (
                "a.ScramLoginModule required username=a password=b tokenauth=\"true\";".to_owned(),
                JaasError::TokenAuth,
            ),
            (
                "com.sun.security.auth.module.Krb5LoginModule required;".to_owned(),
                JaasError::Kerberos,
            ),
            (
                "software.amazon.msk.auth.iam.IAMLoginModule required;".to_owned(),
                JaasError::AwsIam,
            ),
            ("x.OAuthBearerLoginModule required;".to_owned(), JaasError::OAuth),
            ("com.example.MyLoginModule required;".to_owned(), JaasError::OtherModule),
        ] {
            assert_eq!(parse(&text).err(), Some(wrong), "{text}");
        }
    }
}
