//! What a run leaves behind for the checker: three files of one JSON object a line.
//!
//! `events.jsonl` is written while the run goes on, by the driver, the producers and the handlers'
//! programs, each line by one `O_APPEND` write. So its order is one clock for all of them: a
//! handler's start line is written after its real start and its end line before its real end, so
//! two intervals that overlap in the file overlapped in truth. `transitions.jsonl` is the test's
//! trigger on the tables, in the order of its sequence: per job that is the order of commits, since
//! a row's lock is held until then. `jobs.jsonl` is how each job stands at the end.
//!
//! The two orders aren't compared with each other, except where a job's token joins them.
//!
//! Reading refuses what it doesn't know: a misspelt field must not turn a rule off.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The file of [`Event`]s.
pub(crate) const EVENTS: &str = "events.jsonl";
/// The file of [`Transition`]s.
pub(crate) const TRANSITIONS: &str = "transitions.jsonl";
/// The file of [`JobAtEnd`]s.
pub(crate) const JOBS: &str = "jobs.jsonl";
/// What one append may hold, in bytes, and stay in one piece.
pub(crate) const LINE_BYTES_MAX: usize = 4096;

/// One line of `events.jsonl`. Its number in the file, from 1, is its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Event {
    /// A producer is about to INSERT.
    Invoke { uid: String, max_attempts: u16 },
    /// Its COMMIT was acknowledged.
    Ok { uid: String },
    /// It was rolled back for certain.
    Fail { uid: String },
    /// It was cut at COMMIT: the job may exist or not.
    Unknown { uid: String },
    /// A handler runs. `daemon` is the name that faults and exits use.
    Start { uid: String, job: i64, token: i64, attempt: i64, daemon: String },
    /// A handler is about to exit and has decided.
    End { uid: String, job: i64, token: i64, outcome: Outcome },
    /// The driver is about to do something; to all daemons where none is named.
    Fault { verb: Verb, daemon: Option<String>, boot: Option<String> },
    /// A daemon's process is gone. `code` is its exit code, none after a signal; `took_ms` counts
    /// from the signal that ended it, `bound_ms` is what it may take.
    Exit { daemon: String, boot: Option<String>, code: Option<i32>, took_ms: u64, bound_ms: u64 },
    /// The driver found nothing waiting and nothing running.
    Drained {},
}

/// What a handler decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Ok,
    Retry,
    Discard,
    Snooze,
}

/// What the driver does. `Start` is a new process under the daemon's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verb {
    Start,
    Sigkill,
    Sigstop,
    Sigcont,
    Sigterm,
    PgRestart,
    PgTerminate,
}

/// One change of a row, as the trigger saw it.
///
/// `from` and `to` follow from the row before and after: `running` where it has a holder;
/// else, while `run_at > ready_at`, `retryable` where its attempt is above 0 and `scheduled` where
/// it isn't; else `available`. (Not by `now()`: a promotion comes after its job became due.) A row in
/// history has its outcome. What an operation has no row for is null: `from`, `token_before`,
/// `holder_before` of `insert` and `finished`, `to` of `delete`. The other columns are those of the
/// new row, of a `delete` those of the old one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transition {
    /// The trigger's sequence.
    pub seq: i64,
    pub job: i64,
    pub uid: String,
    pub op: Op,
    pub from: Option<State>,
    pub to: Option<State>,
    pub token_before: Option<i64>,
    pub token: i64,
    pub holder_before: Option<i64>,
    pub holder: Option<i64>,
    /// Whether the daemon row of `holder_before` had its `died_at`; null without such a row.
    #[serde(default)]
    pub holder_died: Option<bool>,
    pub attempt: i64,
    pub rescues: i64,
    pub snoozes: i64,
    /// Of `finished`: the lease token that the stored result names, where a handler left one (it
    /// leaves `{"token": n}`). It tells whose result it is, whatever the row's token says.
    #[serde(default)]
    pub result_token: Option<i64>,
    /// The database's clock, for people.
    pub at_us: i64,
}

/// Which trigger wrote a [`Transition`]: three on `legwork.job`, one on `legwork.finished`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Op {
    Insert,
    Update,
    Delete,
    Finished,
}

/// Where a job stands, in the words of the product. The oracle has its own list, so that a slip of
/// the product's can't become a slip of its judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Scheduled,
    Available,
    Running,
    Retryable,
    Completed,
    Cancelled,
    Discarded,
}

/// How one job stands after the run, whether live or in history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobAtEnd {
    pub job: i64,
    pub uid: String,
    pub state: State,
    pub reason: Option<String>,
    pub attempt: i64,
    pub token: i64,
}

/// All that is known of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct History {
    pub events: Vec<Event>,
    pub transitions: Vec<Transition>,
    pub jobs: Vec<JobAtEnd>,
}

/// Why a run's record can't be judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("can't read {path}")]
    Open { path: PathBuf, source: std::io::Error },
    #[error("{path}:{line} isn't what stands in such a file: {text}")]
    Parse { path: PathBuf, line: usize, text: String, source: serde_json::Error },
    #[error("{path}:{line} has {bytes} bytes, so it may be torn")]
    Long { path: PathBuf, line: usize, bytes: usize },
}

impl History {
    /// Reads the three files of `dir`.
    pub(crate) fn read(dir: &Path) -> Result<Self, ReadError> {
        Ok(Self {
            events: lines(&dir.join(EVENTS))?,
            transitions: lines(&dir.join(TRANSITIONS))?,
            jobs: lines(&dir.join(JOBS))?,
        })
    }
}

fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, ReadError> {
    let path = path.to_owned();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(ReadError::Open { path, source }),
    };
    text.lines().enumerate().map(|(at, text)| line(&path, at + 1, text)).collect()
}

fn line<T: DeserializeOwned>(path: &Path, line: usize, text: &str) -> Result<T, ReadError> {
    let (path, bytes) = (path.to_owned(), text.len() + 1);
    if bytes > LINE_BYTES_MAX {
        return Err(ReadError::Long { path, line, bytes });
    }
    let text = text.to_owned();
    serde_json::from_str(&text).map_err(|source| ReadError::Parse { path, line, text, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn write(dir: &Path, name: &str, text: &str) {
        std::fs::write(dir.join(name), text).unwrap();
    }

    /// A directory with the three files, of which the events are given.
    fn run(events: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), EVENTS, events);
        write(dir.path(), TRANSITIONS, "");
        write(dir.path(), JOBS, "");
        dir
    }

    #[rstest]
    #[case::invoke(r#"{"e":"invoke","uid":"u17","max_attempts":5}"#)]
    #[case::ok(r#"{"e":"ok","uid":"u17"}"#)]
    #[case::fail(r#"{"e":"fail","uid":"u17"}"#)]
    #[case::unknown(r#"{"e":"unknown","uid":"u17"}"#)]
    #[case::start(r#"{"e":"start","uid":"u17","job":123,"token":9,"attempt":1,"daemon":"d1"}"#)]
    #[case::end(r#"{"e":"end","uid":"u17","job":123,"token":9,"outcome":"retry"}"#)]
    #[case::fault(r#"{"e":"fault","verb":"pg_restart","daemon":null,"boot":null}"#)]
    #[case::sigkill(r#"{"e":"fault","verb":"sigkill","daemon":"d1","boot":"b"}"#)]
    #[case::exit(r#"{"e":"exit","daemon":"d1","boot":null,"code":0,"took_ms":12,"bound_ms":900}"#)]
    #[case::drained(r#"{"e":"drained"}"#)]
    fn an_event_is_written_as_it_is_read(#[case] line: &str) {
        let dir = run(line);
        let read = History::read(dir.path()).unwrap();
        assert_eq!(read.events.len(), 1);
        assert_eq!(serde_json::to_string(&read.events[0]).unwrap(), line);
    }

    #[test]
    fn a_transition_and_a_job_are_read() {
        let dir = run("");
        let change = r#"{"seq":7,"job":123,"uid":"u17","op":"update","from":"available",
            "to":"running","token_before":8,"token":9,"holder_before":null,"holder":-4,
            "holder_died":null,"attempt":0,"rescues":0,"snoozes":0,"at_us":1}"#;
        write(dir.path(), TRANSITIONS, &change.replace('\n', " "));
        write(
            dir.path(),
            JOBS,
            r#"{"job":123,"uid":"u17","state":"completed","reason":null,"attempt":0,"token":9}"#,
        );
        let read = History::read(dir.path()).unwrap();
        assert_eq!(
            (read.transitions[0].to, read.transitions[0].holder),
            (Some(State::Running), Some(-4))
        );
        assert_eq!((read.jobs[0].state, &*read.jobs[0].uid), (State::Completed, "u17"));
    }

    #[rstest]
    #[case::unknown_event(r#"{"e":"paused","uid":"u1"}"#)]
    #[case::unknown_field(r#"{"e":"ok","uid":"u1","tocken":1}"#)]
    #[case::unknown_field_where_none_is_known(r#"{"e":"drained","uid":"u1"}"#)]
    #[case::unknown_outcome(r#"{"e":"end","uid":"u1","job":1,"token":1,"outcome":"fine"}"#)]
    #[case::missing_field(r#"{"e":"start","uid":"u1"}"#)]
    #[case::torn_line(r#"{"e":"ok","ui{"e":"ok","uid":"u2"}"#)]
    fn what_is_not_known_is_refused_with_its_line(#[case] bad: &str) {
        let dir = run(&format!("{{\"e\":\"ok\",\"uid\":\"u0\"}}\n{bad}\n"));
        let refused = History::read(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("events.jsonl:2 isn't"), "{refused}");
        assert!(refused.contains(bad), "{refused}");
    }

    #[test]
    fn a_line_longer_than_one_append_is_refused() {
        let long = format!(r#"{{"e":"ok","uid":"{}"}}"#, "u".repeat(LINE_BYTES_MAX));
        let dir = run(&long);
        assert!(matches!(History::read(dir.path()), Err(ReadError::Long { line: 1, .. })));
    }

    #[test]
    fn a_run_without_its_files_is_no_run() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(History::read(dir.path()), Err(ReadError::Open { .. })));
    }
}
