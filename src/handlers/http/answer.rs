//! What a receiver's answer means: the status decides, unless `Legwork-Action` says otherwise.

use super::{circuit::Sign, failure::Failure};
use crate::{
    config::HttpSettings,
    handlers::wall_clock,
    job::{ACTION_DELAY_MAX, Action, JobError, JobResult, Outcome},
    outbound::Incoming,
    supervise::{WaitPoint, at},
    telemetry::events,
};
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{DATE, RETRY_AFTER},
};
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout};

/// How long an answer that has begun may take to be there, as far as it is read.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long before the end of the attempt's time an answer's head decides, though its body isn't there.
pub(super) const LAST: Duration = Duration::from_millis(100);
/// How much of the body of a failure is kept for the attempt's error, in bytes.
const ERROR_BODY_MAX_BYTES: usize = 4 * 1024;

/// An answer, as far as it matters.
pub(super) struct Answer {
    status: StatusCode,
    action: Option<Result<Action, String>>,
    reason: Option<String>,
    retry_after: Option<Duration>,
    body: Vec<u8>,
    /// There was more than may be read.
    is_cut: bool,
    /// The receiver has taken the job and will call back.
    is_later: bool,
}

/// What `Legwork-Action` asks for; an error is why nobody understands it.
fn asked(headers: &HeaderMap) -> Option<Result<Action, String>> {
    let mut values = headers.get_all("legwork-action").iter();
    let value = values.next()?;
    let text = String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase();
    if values.next().is_some() {
        return Some(Err("it is there more than once".into()));
    }
    let words = || Action::ALL.map(Action::as_str).join(", ");
    let unknown = || format!("{text:?}, which is none of {}", words());
    Some(Action::named(&text).ok_or_else(unknown))
}

impl Answer {
    /// Reads the head and what is wanted of the body: up to `max_result` bytes of a result, and less of
    /// a failure, where a body that doesn't come is no failure of its own.
    pub(super) async fn read(
        response: Response<Incoming>,
        settings: &HttpSettings,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let (status, headers) = (response.status(), response.headers());
        let action = asked(headers);
        let may_call = settings.callback.is_some();
        let mut answer = Self {
            is_later: may_call && action.is_none() && status == StatusCode::ACCEPTED,
            status,
            action,
            reason: text(headers, "legwork-reason"),
            retry_after: retry_after(headers),
            body: Vec::new(),
            is_cut: false,
        };
        let (completes, max_result) = (answer.completes(), settings.max_result);
        let limit = if completes { max_result } else { max_result.min(ERROR_BODY_MAX_BYTES) };
        if limit > 0 {
            let left = deadline.saturating_duration_since(Instant::now()).saturating_sub(LAST);
            let within = if completes { BODY_TIMEOUT } else { BODY_TIMEOUT.min(left) };
            let read = timeout(within, answer.read_body(response.into_body(), limit));
            let read = at(WaitPoint::HttpBody, read).await;
            let read = read.unwrap_or(Err(Failure::Unfinished(BODY_TIMEOUT)));
            if completes {
                read?;
            }
        }
        Ok(answer)
    }

    async fn read_body(&mut self, mut body: Incoming, limit: usize) -> Result<(), Failure> {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failure::of_answer(&error))?;
            let Ok(chunk) = frame.into_data() else { continue };
            let room = limit - self.body.len();
            self.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                self.is_cut = true;
                return Ok(());
            }
        }
        Ok(())
    }

    /// For metrics.
    pub(super) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// What it says of the receiver: one that has an action to ask for works, whatever its status.
    pub(super) fn sign(&self) -> Sign {
        let is_sane = matches!(self.status.as_u16(), 200..=499);
        if is_sane || matches!(self.action, Some(Ok(_))) { Sign::Well } else { Sign::Ill }
    }

    /// Whether the verdict comes later, by a call back.
    pub(super) fn is_later(&self) -> bool {
        self.is_later
    }

    fn completes(&self) -> bool {
        match &self.action {
            Some(action) => *action == Ok(Action::Complete),
            None => self.status.is_success() && !self.is_later,
        }
    }

    /// What it decides.
    pub(super) fn outcome(self) -> Outcome {
        let (action, after) = match &self.action {
            Some(Ok(action)) => (*action, self.retry_after),
            // Whatever was meant, it wasn't what the status says.
            Some(Err(_)) => (Action::Retry, None),
            None => self.by_status(),
        };
        if action == Action::Complete {
            return self.complete();
        }
        action.outcome(None, self.error(), after)
    }

    fn by_status(&self) -> (Action, Option<Duration>) {
        match (self.status, self.retry_after) {
            (status, _) if status.is_success() => (Action::Complete, None),
            (StatusCode::GONE, _) => (Action::Discard, None),
            (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, Some(delay)) => {
                (Action::Snooze, Some(delay))
            }
            _ => (Action::Retry, None),
        }
    }

    /// Done; the body is the result if it is JSON and all there.
    fn complete(self) -> Outcome {
        if self.is_cut {
            tracing::warn!(
                event = events::JOB_RESULT_LEFT_OUT,
                "the answer is longer than max_result: the job has no result"
            );
            return Outcome::Complete { result: None };
        }
        let text = String::from_utf8(self.body).ok();
        Outcome::Complete { result: text.and_then(|text| JobResult::new(text.trim().to_owned())) }
    }

    /// The status in words, what the receiver said about it, and the beginning of the body, which is in no log.
    fn error(&self) -> JobError {
        let action = match &self.action {
            Some(Err(why)) => format!(", Legwork-Action: {why}"),
            Some(Ok(action)) => format!(", Legwork-Action: {}", action.as_str()),
            None => String::new(),
        };
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let told = format!("HTTP {}{action}{reason}", self.status);
        let body = String::from_utf8_lossy(&self.body);
        // Of what is wrong with a request many receivers say it by quoting the request.
        JobError::told_otherwise(format!("{told}\n{}", body.trim()).trim_end(), told)
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
}

/// Seconds, or a date, which is compared with the receiver's own clock where it tells the time.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = text(headers, RETRY_AFTER.as_str())?;
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let asked = if is_number {
        // More digits than any number has are as good as the most.
        value.parse().map_or(ACTION_DELAY_MAX, Duration::from_secs)
    } else {
        let date = |text: &str| httpdate::parse_http_date(text).ok();
        let theirs = text(headers, DATE.as_str()).as_deref().and_then(date);
        let now = theirs.unwrap_or_else(|| SystemTime::from(wall_clock::now()));
        // One that has passed asks for no wait.
        date(&value)?.duration_since(now).unwrap_or_default()
    };
    Some(Action::delay(asked))
}

#[cfg(test)]
mod tests;
