//! What a handler decided, and how an attempt ended where it didn't get to decide.

use serde_json::value::RawValue;
use std::{fmt, sync::Arc, time::Duration};

/// Longest error text kept of an attempt, in bytes.
pub(crate) const ERROR_MAX_BYTES: usize = 8 * 1024;

/// JSON text that a handler left as its result. Up to a megabyte, and so the same for all who hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobResult(Arc<str>);

impl JobResult {
    /// Accepts JSON, however deep and with numbers of any size: a result is handed through and not read.
    /// `\u0000` and lone surrogates, which JSON allows and jsonb refuses, are none.
    pub fn new(json: String) -> Option<Self> {
        is_storable_json(&json).then(|| Self(json.into()))
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text is JSON that Postgres can store.
pub(crate) fn is_storable_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok() && escapes_are_storable(text)
}

/// Whether every escape of a JSON text stands for characters that Postgres can store.
fn escapes_are_storable(json: &str) -> bool {
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (unit, behind) = escaped(&rest[at + 1..]);
        rest = behind;
        match unit {
            0 | 0xDC00..=0xDFFF => return false,
            0xD800..=0xDBFF => {
                let Some(low) = rest.strip_prefix('\\') else { return false };
                let (low, behind) = escaped(low);
                if !(0xDC00..=0xDFFF).contains(&low) {
                    return false;
                }
                rest = behind;
            }
            _ => {}
        }
    }
    true
}

/// The UTF-16 unit of the escape behind a backslash (of one without a number, its letter) and what follows.
fn escaped(text: &str) -> (u32, &str) {
    if let Some((digits, behind)) = text.strip_prefix('u').and_then(|u| u.split_at_checked(4)) {
        return (u32::from_str_radix(digits, 16).unwrap_or_default(), behind);
    }
    let mut letters = text.chars();
    (letters.next().map_or(0, u32::from), letters.as_str())
}

/// An attempt's error as it is kept: bounded, and free of what Postgres text can't hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobError {
    text: String,
    /// What log lines tell in its place, where the text may quote the payload, which stands beside it in the
    /// database and in no log.
    for_logs: Option<String>,
}

/// What is kept of each end of a text that is too long; the rest is for the mark between them.
const HALF: usize = ERROR_MAX_BYTES / 2 - 16;

impl JobError {
    /// Takes any text; NUL becomes a visible mark and the middle of a long text is cut out.
    pub fn new(text: impl AsRef<str>) -> Self {
        let clean = text.as_ref().replace('\0', "\u{2400}");
        let text = if clean.len() <= ERROR_MAX_BYTES {
            clean
        } else {
            let head = clean.floor_char_boundary(HALF);
            let tail = clean.ceil_char_boundary(clean.len() - HALF);
            format!("{}\n[… cut …]\n{}", &clean[..head], &clean[tail..])
        };
        Self { text, for_logs: None }
    }

    /// What log lines may tell, and what may quote the payload.
    pub(crate) fn quoting(told: &str, quoted: impl fmt::Display) -> Self {
        Self::told_otherwise(format!("{told}: {quoted}"), told.to_owned())
    }

    /// A text that may quote the payload, and what log lines tell in its place.
    pub(crate) fn told_otherwise(text: impl AsRef<str>, for_logs: String) -> Self {
        Self { for_logs: Some(for_logs), ..Self::new(text) }
    }

    /// The same behind something that log lines may tell.
    pub(crate) fn behind(&self, told: &str) -> Self {
        Self::told_otherwise(
            format!("{told}\n{}", self.text),
            format!("{told}\n{}", self.for_logs()),
        )
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same without what may quote the payload.
    pub(crate) fn for_logs(&self) -> &str {
        self.for_logs.as_deref().unwrap_or(&self.text)
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a job will not run again, in words that a program can branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiscardReason {
    /// Failed as often as it may.
    AttemptsExhausted,
    /// Its daemon died under it as often as it may.
    RescuesExhausted,
    /// Snoozed as often as it may.
    SnoozesExhausted,
    /// The payload isn't what the handler takes.
    InvalidPayload,
    /// The handler said that trying again is pointless.
    PermanentError,
    /// Not started by its `expires_at`.
    Expired,
    /// Its handler may not reach where it would go.
    EgressDenied,
}

impl DiscardReason {
    /// Every reason, for tests and documents.
    pub const ALL: [Self; 7] = [
        Self::AttemptsExhausted,
        Self::RescuesExhausted,
        Self::SnoozesExhausted,
        Self::InvalidPayload,
        Self::PermanentError,
        Self::Expired,
        Self::EgressDenied,
    ];

    /// The word in `finished.reason`, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::RescuesExhausted => "rescues_exhausted",
            Self::SnoozesExhausted => "snoozes_exhausted",
            Self::InvalidPayload => "invalid_payload",
            Self::PermanentError => "permanent_error",
            Self::Expired => "expired",
            Self::EgressDenied => "egress_denied",
        }
    }
}

/// What a handler decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Complete {
        /// What it leaves behind.
        result: Option<JobResult>,
    },
    /// Failed; try again.
    Retry {
        /// What went wrong.
        error: JobError,
        /// When, if the handler knows better than the backoff.
        after: Option<Duration>,
    },
    /// Failed for good.
    Discard {
        /// Why, for programs.
        reason: DiscardReason,
        /// Why, for people.
        error: JobError,
    },
    /// Not now: run later, attempt not counted.
    Snooze {
        /// When; the kind's backoff base where absent.
        delay: Option<Duration>,
    },
    /// Not even tried: run later, and neither the attempt nor a snooze is counted.
    Park {
        /// For how long.
        delay: Duration,
    },
    /// The handler stopped because it was asked to, or calls the job off itself.
    Cancel,
    /// The handler ended the job itself, in one transaction with its effects. Only handlers of
    /// Legwork's own can say so, since nothing else is written for it.
    #[non_exhaustive]
    Written(Written),
}

/// What became of an end that a handler wrote itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is committed: the job is completed, and its effects are there.
    Completed,
    /// The lease was gone: nothing was kept, and somebody else decides about the job.
    Late,
    /// No answer says whether it was committed, and nobody could be asked.
    Unknown,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The handler decided.
    Decided(Outcome),
    /// Its time was up.
    TimedOut {
        /// The limit that it ran into.
        limit: Duration,
        /// The handler's last words, where it had any.
        told: Option<JobError>,
    },
    /// The handler panicked.
    Panicked(JobError),
    /// Stopped because somebody cancelled the job.
    Cancelled,
    /// Stopped because the daemon shuts down; not the job's fault.
    Interrupted,
    /// Refused before it ran.
    Refused(DiscardReason),
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn an_error_of_100_mb_keeps_its_head_and_its_tail() {
        let error = JobError::new(format!("head{}tail", "ä".repeat(50_000_000)));
        assert!(error.as_str().len() <= ERROR_MAX_BYTES);
        assert!(error.as_str().starts_with("head") && error.as_str().ends_with("tail"));
    }

    #[test]
    fn nul_never_reaches_the_database() {
        assert_eq!(JobError::new("a\0b").as_str(), "a\u{2400}b");
    }

    #[rstest]
    #[case::object(r#"{"a":1}"#, true)]
    #[case::huge_number("1e200000", true)]
    #[case::escaped_backslash_before_u(r#""\\u0000""#, true)]
    #[case::pair(r#""\ud83d\ude00""#, true)]
    #[case::other_escapes(r#"["\n\"\\\/", "\u0041"]"#, true)]
    #[case::nul(r#"{"a":["\u0000"]}"#, false)]
    #[case::nul_in_a_key(r#"{"\u0000":1}"#, false)]
    #[case::lone_high(r#""\ud800""#, false)]
    #[case::high_before_a_letter(r#""\ud800x\udc00""#, false)]
    #[case::high_before_another(r#""\ud800\ud800""#, false)]
    #[case::lone_low(r#""\udc00""#, false)]
    #[case::no_json("{", false)]
    #[case::two_values("1 2", false)]
    fn a_result_is_json_that_postgres_stores(#[case] json: &str, #[case] accepted: bool) {
        assert_eq!(JobResult::new(json.to_owned()).is_some(), accepted);
    }

    #[test]
    fn a_result_may_be_deeper_than_anything_parsed_here() {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        assert!(JobResult::new(deep).is_some());
    }
}
