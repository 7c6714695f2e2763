//! Tokens that clients show.

use subtle::ConstantTimeEq as _;

/// Whether an Authorization header carries this token. The time does not depend on where the two differ.
pub(crate) fn is_bearer(header: &[u8], token: &str) -> bool {
    let Some((scheme, given)) = header.split_at_checked(7) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"bearer ") && is_token(given, token)
}

/// Whether this is the token. The time does not depend on where the two differ.
pub(crate) fn is_token(given: &[u8], token: &str) -> bool {
    bool::from(given.ct_eq(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_opens() {
        assert!(is_bearer(b"Bearer secret", "secret"));
        assert!(is_bearer(b"bearer secret", "secret"));
        for wrong in [
            &b"Bearer secre"[..],
            b"Bearer secret2",
            b"secret",
            b"Basic secret",
            b"",
            b"Bearer ",
        ] {
            assert!(!is_bearer(wrong, "secret"), "{wrong:?}");
            assert_eq!(is_token(wrong, "secret"), wrong == b"secret", "{wrong:?}");
        }
    }
}
