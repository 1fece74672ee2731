//! `/debug/pprof/`, as Go's programs have it: what `go tool pprof` asks, and how it wants to be refused.

use crate::{
    profile::{
        self, Profile,
        cpu::{self, ProfileError},
    },
    sys::sampler::Refused,
};
use axum::{
    body::Bytes,
    extract::{Query, RawQuery},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use std::{collections::HashMap, fmt::Write, io, time::Duration};

/// Says that an error's text is meant for who reads the tool's output.
const GO_PPROF: HeaderName = HeaderName::from_static("x-go-pprof");
/// Addresses that one question may ask the names of.
const ADDRESSES_MAX: usize = 4096;

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub(in crate::admin) enum PprofError {
    /// The question makes no sense.
    #[error("{0}")]
    Question(String),
    /// It couldn't be taken.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// It couldn't be written down.
    #[error("the profile couldn't be written")]
    Write(#[from] io::Error),
}

impl PprofError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Question(_) => StatusCode::BAD_REQUEST,
            Self::Profile(ProfileError::Refused(Refused::Busy)) => StatusCode::CONFLICT,
            Self::Profile(ProfileError::Refused(Refused::Taken | Refused::Elsewhere)) => {
                StatusCode::NOT_IMPLEMENTED
            }
            Self::Profile(_) | Self::Write(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for PprofError {
    fn into_response(self) -> Response {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(&self);
        while let Some(error) = cause {
            // The source of a transparent error is said already.
            write!(text, ": {error}").ok();
            cause = error.source();
        }
        let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        let go = [(GO_PPROF, "1"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
        (self.status(), kind, go, text + "\n").into_response()
    }
}

/// How a profile is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Pprof,
    Svg,
    Folded,
    Speedscope,
}

/// What somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    length: Duration,
    hertz: u32,
    format: Format,
}

impl Asked {
    fn of(query: &HashMap<String, String>) -> Result<Self, PprofError> {
        let known = ["seconds", "hz", "format", "debug"];
        if let Some(unknown) = query.keys().find(|key| !known.contains(&key.as_str())) {
            let all = known.join(", ");
            return Err(PprofError::Question(format!(
                "there is no parameter {unknown}: there are {all}"
            )));
        }
        let number = |key: &str, default: u64, most: u64| match query.get(key) {
            None => Ok(default),
            Some(text) => {
                text.parse().ok().filter(|number| (1..=most).contains(number)).ok_or_else(|| {
                    PprofError::Question(format!("{key} is {text}: it has to be 1 to {most}"))
                })
            }
        };
        let format = match query.get("format").map_or("pprof", String::as_str) {
            "pprof" | "proto" => Format::Pprof,
            "svg" => Format::Svg,
            "folded" => Format::Folded,
            "speedscope" => Format::Speedscope,
            other => {
                let all = "pprof, svg, folded or speedscope";
                return Err(PprofError::Question(format!("format is {other}: it has to be {all}")));
            }
        };
        let hertz = number("hz", cpu::HERTZ.into(), cpu::HERTZ_MAX.into())?;
        Ok(Self {
            length: Duration::from_secs(number("seconds", cpu::SECONDS, cpu::SECONDS_MAX)?),
            hertz: u32::try_from(hertz).unwrap_or(cpu::HERTZ),
            format,
        })
    }
}

/// `profile`: on what the CPU time goes, for so many seconds.
pub(in crate::admin) async fn profile(
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, PprofError> {
    let asked = Asked::of(&query)?;
    let taken = cpu::take(asked.length, asked.hertz).await?;
    written(&taken, "profile", asked.format)
}

fn written(taken: &Profile, name: &str, format: Format) -> Result<Response, PprofError> {
    let (kind, extension, body) = match format {
        Format::Pprof => ("application/octet-stream", "", taken.pprof()?),
        Format::Svg => ("image/svg+xml", ".svg", taken.flamegraph(name)?),
        Format::Folded => ("text/plain; charset=utf-8", ".txt", taken.folded().into_bytes()),
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

/// `cmdline`: the program and its arguments, with a NUL between two.
pub(in crate::admin) async fn cmdline() -> Response {
    let line = std::fs::read("/proc/self/cmdline").unwrap_or_default();
    let line = line.strip_suffix(&[0]).unwrap_or(&line).to_vec();
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], line).into_response()
}

/// `symbol`: the names of addresses, in the query or in the body, as `0x1+0x2`.
pub(in crate::admin) async fn symbol(
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, PprofError> {
    let question = if body.is_empty() {
        query.unwrap_or_default()
    } else {
        String::from_utf8_lossy(&body).into_owned()
    };
    let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let addresses: Vec<u64> = question.trim().split('+').filter_map(hex).collect();
    if addresses.len() > ADDRESSES_MAX {
        let most = format!("{} addresses: {ADDRESSES_MAX} at most", addresses.len());
        return Err(PprofError::Question(most));
    }
    let named = tokio::task::spawn_blocking(move || {
        let names = profile::names_of(&addresses);
        addresses.into_iter().zip(names).fold(String::new(), |mut text, (address, name)| {
            writeln!(text, "{address:#x} {name}").ok();
            text
        })
    });
    let named = named.await.map_err(|_| ProfileError::Broke)?;
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    // Not how many follow: that there are any is what the tool asks.
    Ok((kind, format!("num_symbols: 1\n{named}")).into_response())
}

/// The page that lists them.
pub(in crate::admin) async fn index() -> Html<&'static str> {
    Html(include_str!("index.html"))
}
