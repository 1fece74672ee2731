//! The query of a request, read as its route describes it.
//!
//! A parameter that a route doesn't have is refused: one that is misspelt and passed over would show everything to
//! somebody who asked for little, and would change everything once there are filters of changes. The names are
//! those of the description, so that the two can't differ.

use super::{
    super::problem::{Problem, Refusal},
    wrong,
};
use crate::config::closest;
use axum::{extract::FromRequestParts, http::request::Parts};
use percent_encoding::percent_decode_str;
use std::{fmt::Display, str::FromStr};
use utoipa::IntoParams;

/// Longest value of a parameter, in bytes. The whole head has 16 KiB.
const VALUE_MAX_BYTES: usize = 1024;
/// How alike a name has to be to be the one that was meant.
const ALIKE: f64 = 0.6;

/// What a route takes.
pub(in crate::admin) trait Parameters: IntoParams + Sized {
    /// What names of parameters that aren't known beforehand begin with.
    const OPEN: Option<&'static str> = None;

    /// Reads them.
    fn read(query: &Query) -> Result<Self, Refusal>;
}

/// The parameters that came, each a name and a value.
pub(in crate::admin) struct Query(Vec<(String, String)>);

impl Query {
    /// As text.
    pub(in crate::admin) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// As what its text says.
    pub(in crate::admin) fn parsed<T: FromStr<Err: Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Refusal> {
        self.with(name, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }

    /// As this reads it.
    pub(in crate::admin) fn with<T>(
        &self,
        name: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Refusal> {
        self.text(name).map(|text| read(text).map_err(|why| wrong(name, &why))).transpose()
    }

    /// As a number from 1 to this.
    pub(in crate::admin) fn number<N: FromStr + PartialOrd + From<u8> + Display + Copy>(
        &self,
        name: &str,
        most: N,
    ) -> Result<Option<N>, Refusal> {
        self.with(name, |text| {
            let number = text.parse().ok().filter(|number| (N::from(1)..=most).contains(number));
            number.ok_or_else(|| format!("a number from 1 to {most}"))
        })
    }

    /// Those whose names begin with this and a dot, without it.
    pub(super) fn below(&self, start: &str) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(move |(name, value)| {
            Some((name.strip_prefix(start)?.strip_prefix('.')?, value.as_str()))
        })
    }

    fn of(parts: &Parts) -> Self {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// Each is known, given once and not too long.
    fn check(&self, known: &[String], open: Option<&str>) -> Result<(), Refusal> {
        let is_known = |name: &str| {
            let below = |start| name.strip_prefix(start).is_some_and(|rest| rest.starts_with('.'));
            known.iter().any(|known| known == name) || open.is_some_and(below)
        };
        let unknown: Vec<&str> =
            self.0.iter().map(|(name, _)| name.as_str()).filter(|name| !is_known(name)).collect();
        if let Some(first) = unknown.first() {
            return Err(refused(&unknown, known).about(first, nearest(first, known)));
        }
        for (at, (name, value)) in self.0.iter().enumerate() {
            if self.0[..at].iter().any(|(before, _)| before == name) {
                return Err(wrong(name, "it is given twice"));
            }
            if value.len() > VALUE_MAX_BYTES {
                return Err(wrong(name, &format!("at most {VALUE_MAX_BYTES} bytes")));
            }
            // Postgres has no text with it.
            if value.contains('\0') || name.contains('\0') {
                return Err(wrong("query", "there is a NUL in it"));
            }
        }
        Ok(())
    }
}

/// The first parameter, as far as it can be read, whose name or value is no text with its escapes undone: what is made of such
/// a one has other characters in the place of those that were meant.
fn garbled(query: &str) -> Option<String> {
    let pair = query.split('&').find(|pair| percent_decode_str(pair).decode_utf8().is_err())?;
    url::form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name.into_owned())
}

fn refused(unknown: &[&str], known: &[String]) -> Refusal {
    let each = unknown.iter().map(|name| match nearest(name, known) {
        Some(nearest) => format!("{name:?} (did you mean {nearest:?}?)"),
        None => format!("{name:?}"),
    });
    let each = each.collect::<Vec<_>>().join(", ");
    let takes = match known {
        [] => "this path takes none".to_owned(),
        known => format!("there are {}", known.join(", ")),
    };
    Problem::UnknownParameter.because(format!("no such parameter: {each}; {takes}"))
}

/// The one that may have been meant.
pub(super) fn nearest(name: &str, known: &[String]) -> Option<String> {
    closest(name, known.iter().map(String::as_str), ALIKE).map(str::to_owned)
}

/// A request's query, read.
pub(in crate::admin) struct Asked<T>(pub(in crate::admin) T);

impl<S: Sync, T: Parameters> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let query = Query::of(parts);
        let known: Vec<_> = T::into_params(|| None).into_iter().map(|known| known.name).collect();
        query.check(&known, T::OPEN)?;
        if let Some(name) = garbled(parts.uri.query().unwrap_or_default()) {
            return Err(wrong(&name, "with its escapes undone it isn't UTF-8"));
        }
        T::read(&query).map(Self)
    }
}

/// Of a route that takes no parameters.
#[derive(IntoParams)]
pub(in crate::admin) struct Nothing {}

impl Parameters for Nothing {
    fn read(_: &Query) -> Result<Self, Refusal> {
        Ok(Self {})
    }
}
