//! Why a value does not follow its schema.

use std::fmt;

/// The most bytes of a path or a reason: a value may quote as much as a whole body.
const MOST_BYTES: usize = 256;

/// Where in a value something is not as its schema says, and what. It reads `/customer/id: expected long, got "x"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The steps to the place, the innermost first: a mistake is found at the bottom, and each level on the way up adds its own.
    steps: Vec<String>,
    reason: String,
}

impl Invalid {
    /// A mistake of the value as a whole.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            steps: Vec::new(),
            reason: shortened(reason.into()),
        }
    }

    /// Says that the mistake lies in the field of this name.
    #[must_use]
    pub fn in_field(mut self, name: &str) -> Self {
        self.steps.push(shortened(name.replace('~', "~0").replace('/', "~1")));
        self
    }

    /// Says that the mistake lies in the item of this index.
    #[must_use]
    pub fn in_item(mut self, index: usize) -> Self {
        self.steps.push(index.to_string());
        self
    }

    /// Where the mistake is, as a JSON pointer (RFC 6901); empty for the value as a whole. Of a long one, the end.
    pub fn path(&self) -> String {
        let mut path = String::new();
        let mut shown = self.steps.len();
        let mut bytes = 0;
        for (count, step) in self.steps.iter().enumerate() {
            bytes += 1 + step.len();
            if bytes > MOST_BYTES {
                shown = count.max(1);
                path.push('…');
                break;
            }
        }
        for step in self.steps[..shown].iter().rev() {
            path.push('/');
            path.push_str(step);
        }
        path
    }

    /// What is wrong there.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            path if path.is_empty() => write!(f, "{}", self.reason),
            path => write!(f, "{path}: {}", self.reason),
        }
    }
}

impl std::error::Error for Invalid {}

/// The text, or its beginning and `…`.
pub(crate) fn shortened(mut text: String) -> String {
    if text.len() > MOST_BYTES {
        let mut end = MOST_BYTES;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_told_with_the_way_to_it() {
        let wrong = Invalid::new("expected long, got \"x\"");
        assert_eq!(wrong.to_string(), "expected long, got \"x\"");
        let wrong = wrong.in_field("id").in_item(2).in_field("a/b~c");
        assert_eq!(wrong.to_string(), "/a~1b~0c/2/id: expected long, got \"x\"");
    }

    #[test]
    fn the_way_to_a_mistake_is_bounded_whatever_a_value_holds() {
        let mut wrong = Invalid::new("é".repeat(10_000));
        for index in 0..10_000 {
            wrong = wrong.in_item(index);
        }
        assert!(wrong.to_string().len() < 1_000);
        assert!(wrong.to_string().starts_with("…/"));
        let wrong = Invalid::new("x").in_field(&"n".repeat(10_000));
        assert!(wrong.to_string().len() < 1_000);
    }
}
