//! From how a program ended to what its attempt decided: the table of `docs/handlers.md`.

use super::{output::Capture, process::RunError, results::Said};
use crate::{
    executor::Context,
    job::{Backoff, DiscardReason, JobError, JobResult, Outcome},
    telemetry::events,
};
use nix::sys::signal::Signal;
use std::{error::Error, os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

// The numbers of sysexits.h, which systemd and others use alike.
const USAGE: i32 = 64;
const BAD_DATA: i32 = 65;
const UNAVAILABLE: i32 = 69;
const TRY_LATER: i32 = 75;
const NO_PERMISSION: i32 = 77;
const BAD_CONFIGURATION: i32 = 78;

/// The backoff of a program that asks to slow down: twice the kind's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slower(pub(super) Backoff);

impl Slower {
    fn delay(self, attempt: u16) -> Duration {
        self.0.delay(attempt, fastrand::f64()) * 2
    }
}

/// A program that ended, with all that it left.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: Capture,
    pub(super) stderr: Capture,
    pub(super) said: Said,
}

impl Ended {
    /// What it decided by its exit code.
    pub(super) fn outcome(self, context: &Context, slower: Slower) -> Outcome {
        self.report_nonsense();
        let discard = |reason, error| Outcome::Discard { reason, error };
        let after = self.said.retry_after;
        match self.status.code() {
            Some(0) => Outcome::Complete { result: self.result() },
            Some(USAGE) => discard(DiscardReason::PermanentError, self.error()),
            Some(BAD_DATA) => discard(DiscardReason::InvalidPayload, self.error()),
            Some(TRY_LATER) => Outcome::Snooze { delay: after },
            Some(UNAVAILABLE) => {
                let after = after.unwrap_or_else(|| slower.delay(context.attempt()));
                Outcome::Retry { error: self.error(), after: Some(after) }
            }
            Some(code @ (NO_PERMISSION | BAD_CONFIGURATION)) => {
                alert(code);
                discard(DiscardReason::PermanentError, self.error())
            }
            _ => Outcome::Retry { error: self.error(), after },
        }
    }

    /// A program that was made to end: only what it wrote tells how far it was.
    pub(super) fn broken_off(&self) -> Outcome {
        Outcome::Retry { error: self.error(), after: None }
    }

    /// What was said on descriptor 3, else standard output if that is JSON and all there.
    fn result(self) -> Option<JobResult> {
        let printed = || JobResult::new(self.stdout.whole()?.trim().to_owned());
        self.said.result.or_else(printed)
    }

    /// The exit in words, then what the program wrote about it. What it printed, where it wrote nothing, is in no log.
    fn error(&self) -> JobError {
        let (status, stderr) = (in_words(self.status), self.stderr.text());
        let error = |told: &str| format!("{status}\n{}", told.trim_end()).trim_end().to_owned();
        if stderr.trim().is_empty() {
            return JobError::told_otherwise(error(&self.stdout.text()), status.clone());
        }
        JobError::new(error(&stderr))
    }

    fn report_nonsense(&self) {
        if self.said.malformed > 0 {
            tracing::debug!(
                lines = self.said.malformed,
                "the program wrote lines to descriptor 3 that make no sense; they were ignored",
            );
        }
    }
}

/// The program says that somebody has to mend something before any job of this kind can work.
fn alert(code: i32) {
    tracing::error!(
        event = events::COMMAND_FAILED,
        exit.code = code,
        "the program lacks a permission or is configured wrongly; the job is discarded",
    );
}

/// A program that couldn't be run: its file may be on its way, so the attempt is worth another. Where
/// the daemon lacked something, it was none.
pub(super) fn not_run(error: &RunError) -> Outcome {
    let said: &dyn Error = error;
    if let Some(shortage) = error.shortage() {
        return shortage.put_off(events::COMMAND_FAILED, said);
    }
    tracing::error!(event = events::COMMAND_FAILED, error = said, "the program wasn't run");
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Outcome::Retry { error: JobError::new(format!("{error}{cause}")), after: None }
}

fn in_words(status: ExitStatus) -> String {
    let Some(number) = status.signal() else {
        return format!("exit code {}", status.code().unwrap_or_default());
    };
    let name = Signal::try_from(number).map(|signal| format!(" ({signal})")).unwrap_or_default();
    format!("killed by signal {number}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::code(7 << 8, "exit code 7")]
    #[case::highest_code(255 << 8, "exit code 255")]
    #[case::signal(9, "killed by signal 9 (SIGKILL)")]
    #[case::real_time_signal(34, "killed by signal 34")]
    fn an_exit_is_put_into_words(#[case] raw: i32, #[case] words: &str) {
        assert_eq!(in_words(ExitStatus::from_raw(raw)), words);
    }
}
