//! Names of queues and kinds: the one pattern that rows, configuration and metrics share.
//!
//! The database checks the same rule by its domains; this is the daemon's copy for what comes from
//! files and command lines. It doesn't decide whether a queue or kind exists.

use std::{fmt, str::FromStr, sync::Arc};

/// Longest name in bytes; the pattern is ASCII, so bytes are characters.
pub(crate) const NAME_MAX_BYTES: usize = 128;

/// The pattern, for those who check by one.
pub(crate) const NAME_PATTERN: &str = "^[A-Za-z0-9_.:-]{1,128}$";

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name needs at least one character")]
    Empty,
    /// Longer than `NAME_MAX_BYTES`.
    #[error("a name has at most {NAME_MAX_BYTES} characters, this one has {0}")]
    TooLong(usize),
    /// A character outside the pattern.
    #[error("{0:?} can't stand in a name: letters, digits and _ . : - can")]
    Character(char),
}

fn check(text: &str) -> Result<(), NameError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    match text.chars().find(|c| !allowed(*c)) {
        _ if text.is_empty() => Err(NameError::Empty),
        Some(c) => Err(NameError::Character(c)),
        None if text.len() > NAME_MAX_BYTES => Err(NameError::TooLong(text.len())),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Accepts what the pattern allows.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text).map(|()| Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// A named lane with limits of its own.
    QueueName
}
impl Default for QueueName {
    /// Where a job waits that names none.
    fn default() -> Self {
        Self("default".into())
    }
}
name! {
    /// Which handler runs a job.
    KindName
}
impl KindName {
    /// The kind of the jobs by which a daemon measures the whole way; nobody else's may be called so.
    pub const CANARY: &'static str = "legwork.canary";

    /// That kind's name.
    pub fn canary() -> Self {
        Self(Self::CANARY.into())
    }

    /// Whether it is that kind.
    pub fn is_canary(&self) -> bool {
        self.as_str() == Self::CANARY
    }
}

name! {
    /// A rule by which jobs are enqueued again and again.
    ScheduleName
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::plain("send_email", Ok(()))]
    #[case::every_mark("A9_.:-", Ok(()))]
    #[case::empty("", Err(NameError::Empty))]
    #[case::space("a b", Err(NameError::Character(' ')))]
    #[case::newline("a\n", Err(NameError::Character('\n')))]
    #[case::confusable("раyload", Err(NameError::Character('р')))]
    #[case::traversal("../x", Err(NameError::Character('/')))]
    fn a_name_follows_the_pattern(#[case] text: &str, #[case] expected: Result<(), NameError>) {
        let pattern = regex::Regex::new(NAME_PATTERN).expect("it is one");
        assert_eq!(pattern.is_match(text), expected.is_ok());
        assert_eq!(KindName::new(text).map(drop), expected);
    }

    #[test]
    fn a_name_of_128_characters_fits_and_one_of_129_does_not() {
        assert!(QueueName::new(&"q".repeat(128)).is_ok());
        assert_eq!(QueueName::new(&"q".repeat(129)), Err(NameError::TooLong(129)));
        assert!(NAME_PATTERN.ends_with(&format!("{{1,{NAME_MAX_BYTES}}}$")));
    }
}
