//! An error with what caused it, for people and for who looks for one of the causes.

use std::{error::Error, io};

/// The error and what caused it, outermost first. What an I/O error holds is its cause, which it gives
/// away only half.
pub fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    fn inner<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(held) => Some(held),
            None => (*error).source(),
        }
    }
    std::iter::successors(Some(error), inner)
}

/// All of it in one line. Our errors don't repeat their source in their text; many libraries' do, the
/// database's driver among them, and what is said already isn't said again.
pub fn told(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in chain(error).map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("inside")]
    struct Inside(#[source] io::Error);

    #[test]
    fn each_cause_is_told_once_also_those_inside_of_an_io_error() {
        let innermost = io::Error::from_raw_os_error(nix::libc::ECONNREFUSED);
        let error = io::Error::other(Inside(innermost));
        assert_eq!(told(&error), "inside: Connection refused (os error 111)");
        assert!(chain(&error).any(<dyn Error>::is::<Inside>));
    }
}
