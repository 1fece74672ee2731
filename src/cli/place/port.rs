//! A daemon's API, asked as the command line asks the database.

use super::{
    super::{
        exit::{Unsure, Usage},
        port::{Endpoint, Question},
    },
    Problem,
};
use ::url::Url;
use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::time::Duration;
use time::format_description::well_known::Rfc3339;

use crate::postgres::operations::{End, Since};

/// How long an answer may take: longer than the daemon gives its own statements, with its wait for a session.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest answer that is read, in bytes: a job with payload and result, or a page of jobs with their tags.
const ANSWER_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Where it is, and the token that it is asked with.
pub(in crate::cli) struct Port {
    pub(super) endpoint: Endpoint,
    pub(super) token: Option<String>,
}

/// What is asked: what is said where it fails, the method, and the path.
pub(super) struct Asked<'a> {
    pub(super) what: &'static str,
    pub(super) method: &'static str,
    pub(super) path: &'a [&'a str],
}

impl Port {
    /// Looks at something.
    pub(super) async fn look<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &[&str],
        query: &[(String, String)],
    ) -> anyhow::Result<T> {
        self.ask(&Asked { what, method: "GET", path }, query, "").await
    }

    /// Changes something.
    pub(super) async fn change<T: DeserializeOwned>(
        &self,
        asked: &Asked<'_>,
        body: Value,
    ) -> anyhow::Result<T> {
        self.ask(asked, &[], &body.to_string()).await
    }

    /// Changes something that may take longer than a statement.
    pub(super) async fn change_within<T: DeserializeOwned>(
        &self,
        asked: &Asked<'_>,
        body: Value,
        within: Duration,
    ) -> anyhow::Result<T> {
        self.answered(asked, &[], (&body.to_string(), within)).await
    }

    /// Asks, and reads the answer or the problem.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        asked: &Asked<'_>,
        query: &[(String, String)],
        body: &str,
    ) -> anyhow::Result<T> {
        self.answered(asked, query, (body, ANSWER_TIMEOUT)).await
    }

    async fn answered<T: DeserializeOwned>(
        &self,
        asked: &Asked<'_>,
        query: &[(String, String)],
        (body, within): (&str, Duration),
    ) -> anyhow::Result<T> {
        let route = route(asked.path, query)?;
        let question = Question {
            method: asked.method,
            route: &route,
            token: self.token.as_deref(),
            body,
            within,
            most_bytes: ANSWER_MAX_BYTES,
        };
        let answer = self.endpoint.ask(&question).await?;
        if !(200..300).contains(&answer.status) {
            let problem = Problem::of(asked.what, &answer);
            return Err(if asked.method == "GET" { problem.into() } else { problem.of_change() });
        }
        let read = serde_json::from_slice(&answer.body);
        let read = read.context("the answer isn't as this release knows it");
        if asked.method == "GET" { read.context(asked.what) } else { read.map_err(Unsure::because) }
    }
}

/// The request's path below `/api/v1` and its query, as a URL has them.
fn route(path: &[&str], query: &[(String, String)]) -> anyhow::Result<String> {
    if let Some(name) = path.iter().find(|name| matches!(**name, "." | "..")) {
        let why = "means a place in a URL's path and can't be asked for over the API; leave out --url, and ask over the database";
        return Err(Usage(format!("{name:?} {why}")).into());
    }
    let mut url = Url::parse("http://port/api/v1").context("a path can't be made")?;
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.extend(path);
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    Ok(format!("{}{query}", url.path()))
}

/// A query of what is there.
pub(super) fn query<const N: usize>(texts: [(&str, Option<String>); N]) -> Vec<(String, String)> {
    let there = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?)));
    there.collect()
}

/// A body of what is there.
pub(super) fn body<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let there = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect::<Map<_, _>>())
}

/// Of a reason alone.
pub(super) fn because(reason: Option<&String>) -> Value {
    body([("reason", reason.map(|reason| json!(reason)))])
}

/// Of an end and a reason.
pub(super) fn until(end: End, reason: Option<&String>) -> [(&'static str, Option<Value>); 3] {
    let (time, until) = match end {
        End::Never => (None, None),
        End::In(time) => (Some(span(time)), None),
        End::At(at) => (None, at.format(&Rfc3339).ok()),
    };
    [
        ("for", time.map(Value::from)),
        ("until", until.map(Value::from)),
        ("reason", reason.map(|reason| json!(reason))),
    ]
}

/// A time, as the API reads it.
pub(super) fn span(time: Duration) -> String {
    humantime::format_duration(time).to_string().replace(' ', "")
}

/// A moment or a time, as the API reads it. What can't be written is in a year that no job has.
pub(super) fn since(since: Since) -> Option<String> {
    match since {
        Since::Moment(at) => at.format(&Rfc3339).ok(),
        Since::Ago(time) => Some(span(time)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_written_as_a_url_has_them() {
        let query = [("payload.a b".to_owned(), "1&2=ä".to_owned())];
        let made = route(&["queues", "a/b ?", "pause"], &query).expect("a route");
        assert_eq!(made, "/api/v1/queues/a%2Fb%20%3F/pause?payload.a+b=1%262%3D%C3%A4");
        assert_eq!(route(&["jobs"], &[]).expect("a route"), "/api/v1/jobs");
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        for seconds in [1, 90, 3_600 * 25, 400 * 86_400] {
            let time = Duration::from_secs(seconds);
            assert_eq!(humantime::parse_duration(&span(time)).expect("a time"), time);
        }
    }
}
