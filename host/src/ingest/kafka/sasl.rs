//! Authentication: SASL with the mechanism PLAIN (RFC 4616), whose password is the token of `listen.token_file`. The name of the user
//! decides nothing.

use subtle::ConstantTimeEq as _;

/// Whether the message of a client has this token as its password.
pub(super) fn is_password(message: &[u8], token: &str) -> bool {
    let mut parts = message.split(|byte| *byte == 0);
    let (Some(_authorized), Some(_user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    bool::from(password.ct_eq(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_opens() {
        assert!(is_password(b"\0anybody\0secret", "secret"));
        assert!(is_password(b"other\0anybody\0secret", "secret"));
        for wrong in [
            &b"\0anybody\0secre"[..],
            b"\0anybody\0secret2",
            b"\0anybody\0",
            b"\0secret",
            b"secret",
            b"",
            b"\0anybody\0secret\0",
            b"\0\0\0secret",
        ] {
            assert!(!is_password(wrong, "secret"), "{wrong:?}");
        }
    }
}
