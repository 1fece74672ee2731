//! `/debug/pprof/`, as Go's programs have it: what `go tool pprof` asks.

use super::super::{
    api::{
        body,
        query::{Asked, Nothing, Parameters, Query},
    },
    problem::{Problem, Refusal},
};
use crate::{
    config::DatabaseUrl,
    profile::{
        self, Profile,
        cpu::{self, ProfileError},
    },
    sys::{heap::unsampled, sampler::Refused},
};
use axum::{
    extract::{RawQuery, Request},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
};
use std::{error::Error, fmt::Write, io, str::FromStr, time::Duration};
use tokio::task::spawn_blocking;
use utoipa::{IntoParams, ToSchema};

/// Addresses that one question may ask the names of.
const ADDRESSES_MAX: usize = 4096;

/// What people and Go's tools read.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// What may be wrong with a profile that is asked for.
pub(in crate::admin) const OF_A_PROFILE: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::ProfileUnderWay,
    Problem::NoProfiles,
    Problem::ProfileFailed,
    Problem::DaemonEnds,
];

/// How a profile is written down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum Format {
    /// For `go tool pprof`, gzipped.
    #[default]
    Pprof,
    /// A flamegraph.
    Svg,
    /// A line for each stack.
    Folded,
    /// For speedscope.app.
    Speedscope,
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "pprof" => Ok(Self::Pprof),
            "svg" => Ok(Self::Svg),
            "folded" => Ok(Self::Folded),
            "speedscope" => Ok(Self::Speedscope),
            _ => Err("it has to be pprof, svg, folded or speedscope"),
        }
    }
}

/// What somebody asks for.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct CpuProfile {
    /// How long.
    #[param(minimum = 1, maximum = 120, default = 30, example = 5)]
    seconds: Option<u64>,
    /// Samples for each second of CPU time. A profile costs a busy daemon 3 % of its CPU at most, which a higher rate wouldn't keep.
    #[param(minimum = 1, maximum = 100, default = 99, example = 99)]
    hz: Option<u32>,
    /// How it is written down; `pprof` where nothing is said.
    #[param(inline, example = "svg")]
    format: Option<Format>,
}

impl Parameters for CpuProfile {
    fn read(query: &Query) -> Result<Self, Refusal> {
        Ok(Self {
            seconds: query.number("seconds", cpu::SECONDS_MAX)?,
            hz: query.number("hz", cpu::HERTZ_MAX)?,
            format: query.parsed("format")?,
        })
    }
}

/// Reads which form of a list is asked for: a file, or as text in one of two ways.
pub(in crate::admin) fn level(text: &str) -> Result<u8, String> {
    let level = text.parse().ok().filter(|level| *level <= 2);
    level.ok_or_else(|| "it has to be 0, 1 or 2".to_owned())
}

/// A CPU profile, by kind and queue
#[utoipa::path(get, path = "/debug/pprof/profile", operation_id = "pprof_profile", tag = "debug", params(CpuProfile),
    responses((status = 200, description = "It.", content(
        (String = "application/octet-stream", example = "gzipped protobuf"),
        (String = "image/svg+xml", example = "<svg></svg>"),
        (String = "text/plain", example = "[daemon];main;work 10101010"),
        (Object = "application/json", example = json!({ "profiles": [] }))))))]
pub(in crate::admin) async fn profile(
    Asked(asked): Asked<CpuProfile>,
) -> Result<Response, Refusal> {
    let length = Duration::from_secs(asked.seconds.unwrap_or(cpu::SECONDS));
    let taken = cpu::take(length, asked.hz.unwrap_or(cpu::HERTZ)).await;
    let taken = taken.map_err(|error| refusal(&error))?;
    let format = asked.format.unwrap_or_default();
    // Elsewhere than on the task that every connection is served by: a probe mustn't wait for a picture.
    let written = spawn_blocking(move || unsampled(|| written(&taken, "profile", format))).await;
    let written = written.map_err(|_| Problem::ProfileFailed)?;
    written.map_err(|error| {
        Problem::ProfileFailed.because(format!("the profile couldn't be written: {error}"))
    })
}

fn refusal(error: &ProfileError) -> Refusal {
    let problem = match error {
        ProfileError::Refused(Refused::Busy) => Problem::ProfileUnderWay,
        ProfileError::Refused(Refused::Taken | Refused::Elsewhere) => Problem::NoProfiles,
        _ => Problem::ProfileFailed,
    };
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    problem.because(format!("{error}{cause}"))
}

pub(super) fn written(taken: &Profile, name: &str, format: Format) -> io::Result<Response> {
    let (kind, extension, body) = match format {
        Format::Pprof => ("application/octet-stream", "", taken.pprof()?),
        Format::Svg => ("image/svg+xml", ".svg", taken.flamegraph(name)?),
        Format::Folded => (TEXT, ".txt", taken.folded().into_bytes()),
        Format::Speedscope => {
            ("application/json", ".speedscope.json", taken.speedscope(name).to_string().into())
        }
    };
    // A picture is for looking at, a file for keeping.
    let shown = if format == Format::Svg { "inline" } else { "attachment" };
    let disposition = format!("{shown}; filename=\"{name}{extension}\"");
    let mut response =
        ([(header::CONTENT_TYPE, kind), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], body)
            .into_response();
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// The program and its arguments, with a NUL between two, and no password
#[utoipa::path(get, path = "/debug/pprof/cmdline", operation_id = "pprof_cmdline", tag = "debug",
    responses((status = 200, description = "They.", body = String, content_type = "text/plain",
        example = "/usr/bin/legwork\0run")))]
pub(in crate::admin) async fn cmdline(Asked(Nothing {}): Asked<Nothing>) -> Response {
    let line = std::fs::read("/proc/self/cmdline").unwrap_or_default();
    let line = String::from_utf8_lossy(line.strip_suffix(&[0]).unwrap_or(&line));
    // The machine's own people see it by `ps`; who holds a token may be elsewhere.
    let words: Vec<String> = line.split('\0').map(DatabaseUrl::redacted_in).collect();
    ([(header::CONTENT_TYPE, TEXT)], words.join("\0")).into_response()
}

/// The names of addresses that the query lists, 0x1+0x2
#[utoipa::path(get, path = "/debug/pprof/symbol", operation_id = "pprof_symbol", tag = "debug",
    responses((status = 200, description = "A line for each.", body = String, content_type = "text/plain",
        example = "num_symbols: 1\n")))]
pub(in crate::admin) async fn symbol(RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let query = query.unwrap_or_default();
    if let Some(word) = words(&query).find(|word| address(word).is_none()) {
        let why = format!("{word:?} isn't an address: list them as 0x1+0x2");
        return Err(Problem::InvalidParameter.because(why));
    }
    Ok(named(&query).await)
}

/// The names of addresses that the body lists, 0x1+0x2
#[utoipa::path(post, path = "/debug/pprof/symbol", operation_id = "pprof_symbols", tag = "debug",
    request_body(content = Option<String>, content_type = "text/plain", example = "0x1+0x2"),
    responses((status = 200, description = "A line for each.", body = String, content_type = "text/plain",
        example = "num_symbols: 1\n0x1 0x1\n")))]
pub(in crate::admin) async fn symbols(
    Asked(Nothing {}): Asked<Nothing>,
    request: Request,
) -> Result<Response, Refusal> {
    let body = body::read(request).await?;
    Ok(named(&String::from_utf8_lossy(&body)).await)
}

/// What a list of addresses has between its signs.
fn words(list: &str) -> impl Iterator<Item = &str> {
    list.trim().split('+').filter(|word| !word.is_empty())
}

fn address(word: &str) -> Option<u64> {
    u64::from_str_radix(word.trim_start_matches("0x"), 16).ok()
}

/// As Go's programs answer it. Beyond as many addresses as a profile has, the rest is passed over.
async fn named(list: &str) -> Response {
    let addresses: Vec<u64> = words(list).filter_map(address).take(ADDRESSES_MAX).collect();
    let named = spawn_blocking(move || {
        let names = profile::names_of(&addresses);
        addresses.into_iter().zip(names).fold(String::new(), |mut text, (address, name)| {
            writeln!(text, "{address:#x} {name}").ok();
            text
        })
    });
    // It breaks only with the runtime.
    let named = named.await.unwrap_or_default();
    // Not how many follow: that there are any is what the tool asks.
    ([(header::CONTENT_TYPE, TEXT)], format!("num_symbols: 1\n{named}")).into_response()
}

/// What there is instead of what is looked for: a profile of Go's that a daemon hasn't.
pub(in crate::admin) fn instead_of(path: &str) -> Option<&'static str> {
    match path {
        "/debug/pprof/mutex" | "/debug/pprof/block" => Some(
            "waits aren't sampled: /debug/trace shows each one for locks, channels and the pool, and /debug/tasks what waits now",
        ),
        "/debug/pprof/threadcreate" => Some(
            "threads are started by the runtime alone: /debug/tasks counts what runs on them, and a CPU profile has their names",
        ),
        _ => None,
    }
}

/// The list of profiles
#[utoipa::path(get, path = "/debug/pprof/", operation_id = "pprof", tag = "debug",
    responses((status = 200, description = "A page.", body = String, content_type = "text/html", example = "<!doctype html>")))]
pub(in crate::admin) async fn index(
    headers: HeaderMap,
    Asked(Nothing {}): Asked<Nothing>,
) -> Html<String> {
    // Its commands can be copied: they ask where the page came from.
    Html(include_str!("index.html").replace("HOST", &asked_at(&headers)))
}

/// Where the list of profiles is
///
/// At this path with a slash at its end, as Go's programs have it.
#[utoipa::path(get, path = "/debug/pprof", operation_id = "pprof_moved", tag = "debug",
    responses((status = 301, description = "It is there.",
        headers(("Location" = String, description = "Where, with the query that was asked.")))))]
pub(in crate::admin) async fn moved(uri: Uri) -> Response {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let place = format!("{}/{query}", uri.path());
    (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, place)]).into_response()
}

/// By which name and port this one was asked, of which nothing can be but a part of an address.
pub(super) fn asked_at(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    host.chars().filter(|c| c.is_ascii_alphanumeric() || ".:-[]".contains(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_name_that_was_asked_only_what_an_address_has_is_shown() {
        let shown = |host| {
            asked_at(&HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]))
        };
        assert_eq!(shown("daemon-1.example:9464"), "daemon-1.example:9464");
        assert_eq!(shown("[::1]:9464"), "[::1]:9464");
        assert_eq!(shown("localhost:1<b>\"&' "), "localhost:1b");
        assert_eq!(asked_at(&HeaderMap::new()), "localhost");
    }
}
