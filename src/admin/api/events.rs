//! What happens in this daemon, as server-sent events: for dashboards and people who watch.
//!
//! It comes from memory and asks the database nothing. Nobody waits for a client that reads slowly: it is told that there
//! is a gap, and asks for pages of jobs instead. Payloads are never in it.

use super::{
    super::{
        problem::{Problem, Refusal},
        routes::AdminState,
    },
    query::{Asked, Parameters, Query},
};
use crate::{
    config::AdminTokens,
    job::{KindName, QueueName},
    telemetry::feed::{DAEMON, Heard, Listener, OPERATION, Occurrence, Place, QUEUE},
};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures::{Stream, stream};
use serde_json::{Value, json};
use std::{convert::Infallible, fmt::Write, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use utoipa::IntoParams;

/// How long nothing is sent at most: proxies close what says nothing.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a stream lasts; its client comes back with the last id. A connection of the port may live for five minutes.
const STREAM_MAX: Duration = Duration::from_secs(285);
/// What can happen, but for gaps.
pub(in crate::admin) const NAMES: [&[&str]; 4] = [&["job.finished"], &QUEUE, &OPERATION, &DAEMON];
/// What says that something isn't there.
const GAP: &str = "gap";

/// What is listened to.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct Wanted {
    /// Of this queue alone.
    #[param(value_type = Option<String>, example = "default")]
    queue: Option<QueueName>,
    /// Of this kind alone.
    #[param(value_type = Option<String>, example = "send_email")]
    kind: Option<KindName>,
    /// Of this name alone: `job.finished`, `queue.paused`, `queue.draining`, `queue.resumed`, `operation.progress`,
    /// `operation.ended`, `daemon.ready`, `daemon.reloaded`, `daemon.lost` or `daemon.draining`.
    #[param(rename = "type", example = "job.finished")]
    name: Option<String>,
}

impl Parameters for Wanted {
    fn read(query: &Query) -> Result<Self, Refusal> {
        let name = query.with("type", |text| {
            let names = NAMES.concat();
            if names.contains(&text) {
                Ok(text.to_owned())
            } else {
                Err(format!("it is one of {}", names.join(", ")))
            }
        })?;
        Ok(Self { queue: query.parsed("queue")?, kind: query.parsed("kind")?, name })
    }
}

impl Wanted {
    fn has(&self, occurrence: &Occurrence) -> bool {
        let of_queue = self.queue.as_ref().is_none_or(|queue| occurrence.queue() == Some(queue));
        let of_kind = self.kind.as_ref().is_none_or(|kind| occurrence.kind() == Some(kind));
        of_queue && of_kind && self.name.as_ref().is_none_or(|name| occurrence.name() == name)
    }
}

/// What happens in this daemon, as it happens
///
/// `Last-Event-ID` goes on behind that event, as far as the daemon still has what came since; an event `gap` says that
/// something is missing. A stream ends after five minutes at the latest, when tokens change, and with the daemon.
#[utoipa::path(get, path = "/api/v1/events", operation_id = "listen", tag = "daemon",
    params(Wanted, ("Last-Event-ID" = Option<String>, Header, example = "5f0c7a1e93d2b846-17",
        description = "The id of the last event that came.")),
    responses((status = 200, description = "A stream of events.", body = String, content_type = "text/event-stream",
        example = json!("id: 5f0c7a1e93d2b846-17\nevent: job.finished\ndata: {\"id\":4711,\"kind\":\"send_email\",\"queue\":\"default\",\"outcome\":\"completed\",\"attempt\":1}\n\n"))))]
pub(in crate::admin) async fn listen(
    State(state): State<AdminState>,
    Asked(wanted): Asked<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let after = headers.get("last-event-id").map(place);
    let listener = state.metrics.feed.listen(after).ok_or(Problem::TooManyStreams)?;
    let listening = Listening {
        listener,
        wanted,
        tokens: state.access.tokens(),
        until: Instant::now() + STREAM_MAX,
        greeted: false,
    };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Of proxies that would gather events before they hand them on.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(listening.events())).into_response())
}

/// An id as it was given out. What isn't one is of no life there is, and so a gap.
fn place(id: &HeaderValue) -> Place {
    let parts = id.to_str().ok().and_then(|id| id.split_once('-'));
    let place = parts.and_then(|(life, number)| {
        let life = u64::from_str_radix(life, 16).ok()?;
        Some(Place { life, number: number.parse().ok()? })
    });
    place.unwrap_or(Place { life: 0, number: u64::MAX })
}

/// A stream under way.
struct Listening {
    listener: Listener,
    wanted: Wanted,
    tokens: watch::Receiver<AdminTokens>,
    until: Instant,
    greeted: bool,
}

impl Listening {
    fn events(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold(self, async |mut listening| {
            let text = listening.next().await?;
            Some((Ok(Bytes::from(text)), listening))
        })
    }

    /// What is to be sent next; nothing at the end.
    async fn next(&mut self) -> Option<String> {
        if !std::mem::replace(&mut self.greeted, true) {
            // The head goes out with it, so that the client knows that it is listened.
            return Some(self.greeting());
        }
        let beat = Instant::now() + HEARTBEAT;
        loop {
            let heard = tokio::select! {
                heard = self.listener.hear() => heard?,
                () = changed(&mut self.tokens) => return None,
                () = sleep_until(beat.min(self.until)) => {
                    let place = self.listener.place();
                    // Also where nothing is told because of the filters.
                    return (Instant::now() < self.until)
                        .then(|| format!(": nothing happened\nid: {}\n\n", shown(place)));
                }
            };
            let text = self.text(&heard);
            if !text.is_empty() {
                return Some(text);
            }
        }
    }

    /// With the place from which on it is listened: whoever is cut off before anything happens comes back with it. Where a gap
    /// is to come there is none, or it would be forgotten by who is cut off before it came.
    fn greeting(&self) -> String {
        if self.listener.misses() {
            return "retry: 1000\n\n".to_owned();
        }
        format!("retry: 1000\nid: {}\n\n", shown(self.listener.place()))
    }

    fn text(&self, heard: &Heard) -> String {
        let mut text = String::new();
        let Place { life, number } = self.listener.place();
        if heard.gap {
            let before = heard.occurrences.first().map_or(number, |(first, _)| first - 1);
            let before = Place { life, number: before };
            event(&mut text, before, GAP, &json!({ "reason": "events are missing here" }));
        }
        for (number, occurrence) in heard.occurrences.iter().filter(|(_, it)| self.wanted.has(it)) {
            let at = Place { life, number: *number };
            event(&mut text, at, occurrence.name(), &data(occurrence));
        }
        text
    }
}

/// Waits until there are other tokens. Where nobody can tell any more, there won't be.
async fn changed(tokens: &mut watch::Receiver<AdminTokens>) {
    if tokens.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn shown(Place { life, number }: Place) -> String {
    format!("{life:016x}-{number}")
}

fn event(text: &mut String, at: Place, name: &str, data: &Value) {
    let written = write!(text, "id: {}\nevent: {name}\ndata: {data}\n\n", shown(at));
    debug_assert!(written.is_ok(), "writing to a String can't fail");
}

fn data(occurrence: &Occurrence) -> Value {
    match occurrence {
        Occurrence::JobFinished { id, kind, queue, outcome, attempt } => json!({
            "id": id.0, "kind": kind.as_ref().map(KindName::as_str), "queue": queue.as_str(),
            "outcome": outcome, "attempt": attempt,
        }),
        Occurrence::Queue { queue, .. } => json!({ "queue": queue.as_str() }),
        Occurrence::Operation { id, action, state, looked_at, changed } => json!({
            "id": id, "action": action, "state": state, "looked_at": looked_at, "changed": changed,
        }),
        Occurrence::Daemon(_) => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::feed::Feed;
    use std::sync::Arc;

    #[test]
    fn every_event_is_in_the_document_and_among_what_can_be_asked_for() {
        let document = include_str!("../../../docs/api.md");
        let (_, section) = document.split_once("\n## Events\n").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        let rows: Vec<_> = section.lines().filter(|line| line.starts_with("| `")).collect();
        let first = |row: &str| row.split('|').nth(1).unwrap().replace(['`', ' '], "");
        let told: Vec<_> = rows.iter().map(|row| first(row)).collect();
        let told: Vec<&str> = told.iter().flat_map(|names| names.split(',')).collect();
        assert_eq!(told, [NAMES.concat(), vec![GAP]].concat());
        let asked = Wanted::into_params(|| None).into_iter();
        let asked = asked.filter(|of| of.name == "type").find_map(|of| of.description).unwrap();
        for name in NAMES.concat() {
            assert!(asked.contains(&format!("`{name}`")), "{name} in {asked}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_comment_comes_each_fifteen_seconds_until_the_stream_ends_by_itself() {
        let feed = Arc::new(Feed::default());
        let (_told, tokens) = watch::channel(AdminTokens::default());
        let began = Instant::now();
        let mut listening = Listening {
            listener: feed.listen(None).unwrap(),
            wanted: Wanted { queue: None, kind: None, name: None },
            tokens,
            until: began + STREAM_MAX,
            greeted: true,
        };
        let text = listening.next().await.unwrap();
        assert!(text.starts_with(": nothing happened\nid: "), "{text}");
        assert_eq!(began.elapsed().as_secs(), HEARTBEAT.as_secs());
        let mut comments = 1;
        while listening.next().await.is_some() {
            comments += 1;
        }
        assert_eq!((comments, began.elapsed().as_secs()), (18, STREAM_MAX.as_secs()));
    }
}
