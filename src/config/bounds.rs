//! The bounds of keys, for values that a program sets in code.
//!
//! The same table that a file is held to: what `legwork.toml` can't say, the library can't either.

use super::{
    form::{self, duration_text, size_text},
    keys::{CONCURRENCY_MAX, Form, form_of},
};
use std::{fmt, time::Duration};

/// A value in its own type.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Amount {
    /// A length of time.
    Time(Duration),
    /// A number of things.
    Count(u64),
    /// A part of a whole, or a factor.
    Number(f64),
    /// A number of bytes.
    Size(u64),
    /// A number that may be below nothing.
    Signed(i16),
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => f.write_str(&duration_text(*time)),
            Self::Count(count) => count.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Size(bytes) => f.write_str(&size_text(*bytes)),
            Self::Signed(number) => number.fmt(f),
        }
    }
}

/// What is wrong with this value of the key, if anything: one sentence, the key's name first.
pub(crate) fn out_of_bounds(key: &str, given: Amount) -> Option<String> {
    let name = key.rsplit_once('.').map_or(key, |(_, name)| name);
    outside(key, given).map(|why| format!("{name}: {why}"))
}

/// The same without the name.
pub(super) fn outside(key: &str, given: Amount) -> Option<String> {
    let form = form_of(key)?;
    let fits = match (form, given) {
        (Form::Duration { min, max }, Amount::Time(time)) => (min..=max).contains(&time),
        (Form::Retention, Amount::Time(time)) => form::is_retention(time),
        (Form::Count { min, max } | Form::Cap { min, max }, Amount::Count(count)) => {
            (min..=max).contains(&count)
        }
        (Form::Number { min, max }, Amount::Number(number)) => (min..=max).contains(&number),
        (Form::Size { min, max }, Amount::Size(bytes)) => (min..=max).contains(&bytes),
        (Form::Signed { min, max }, Amount::Signed(number)) => (min..=max).contains(&number),
        (Form::Concurrency, Amount::Count(count)) => (1..=CONCURRENCY_MAX).contains(&count),
        _ => false,
    };
    let range = match form {
        // Who gives a number, a program or the API, has no words for it as the file has.
        Form::Concurrency => format!("1 to {CONCURRENCY_MAX}"),
        form => form.range(),
    };
    (!fits).then(|| format!("{given} isn't {range}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_held_to_the_bounds_of_its_key() {
        let time = |seconds| Amount::Time(Duration::from_secs(seconds));
        assert_eq!(out_of_bounds("kind.timeout", time(60)), None);
        let wrong = out_of_bounds("kind.timeout", time(0)).expect("refused");
        assert_eq!(wrong, "timeout: 0s isn't 1ms to 30d");
        assert_eq!(out_of_bounds("queue.concurrency", Amount::Count(10_000)), None);
        let wrong = out_of_bounds("queue.concurrency", Amount::Count(10_001)).expect("refused");
        assert_eq!(wrong, "concurrency: 10001 isn't 1 to 10000");
        assert!(out_of_bounds("kind.max_attempts", Amount::Count(0)).is_some());
        let ratio = |number| out_of_bounds("tracing.sample_ratio", Amount::Number(number));
        assert_eq!(ratio(0.5), None);
        assert!(ratio(1.5).is_some() && ratio(f64::NAN).is_some());
    }
}
