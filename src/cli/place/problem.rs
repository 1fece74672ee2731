//! A problem that the API told of, as the command line tells of errors.

use super::{
    super::{
        exit::{Code, Unsure},
        port::Answer,
    },
    daemons::TELLING,
};

/// What failed, and how the daemon called it.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(in crate::cli) struct Problem {
    what: &'static str,
    /// The problem's type without what all begin with; empty where the answer was none.
    pub(super) kind: String,
    status: u16,
    /// What the database advises there.
    hint: Option<String>,
    #[source]
    said: Said,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(String);

impl Problem {
    pub(super) fn of(what: &'static str, answer: &Answer) -> Self {
        let told: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
        let member = |name| told.as_ref().and_then(|told| told[name].as_str());
        let kind = member("type").and_then(|kind| kind.rsplit(':').next()).unwrap_or_default();
        let said = member("detail").map_or_else(
            || format!("the answer was {} {}", answer.status, answer.line()),
            // Where the daemon begins with what failed as well, once is enough.
            |said| {
                said.strip_prefix(what)
                    .and_then(|rest| rest.strip_prefix(": "))
                    .unwrap_or(said)
                    .to_owned()
            },
        );
        let hint = member("hint").map(str::to_owned);
        Self { what, kind: kind.to_owned(), status: answer.status, hint, said: Said(said) }
    }

    /// As the error of a change: unsure where it may have been made, by the daemon's word or behind a server between.
    pub(super) fn of_change(self) -> anyhow::Error {
        let is_strange = self.kind.is_empty() && self.status >= 500;
        if !is_strange && !["outcome-unknown", "daemon-ends"].contains(&self.kind.as_str()) {
            return self.into();
        }
        // What failed, without what is promised where it did.
        let what = self.what.split(';').next().unwrap_or(self.what);
        Unsure::because(Self { what, ..self })
    }

    /// What the daemon said.
    pub(super) fn said(&self) -> String {
        self.said.0.clone()
    }

    /// 408, 429 and 503 pass by themselves; a 409 of the API is a state and stays.
    pub(in crate::cli) fn code(&self) -> Code {
        match self.status {
            408 | 429 | 503 => Code::TryAgain,
            _ => Code::Failed,
        }
    }

    /// What the database advises, in words of SQL.
    pub(in crate::cli) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What to do about it.
    pub(in crate::cli) fn help(&self) -> Option<&'static str> {
        match self.kind.as_str() {
            "no-such-daemon" | "wrong-state" if self.what == TELLING => {
                Some("`legwork daemon list` tells the ids of the daemons, and which of them live")
            }
            "no-token" | "wrong-token" => {
                Some("--token-file names a file with a token of the daemon's")
            }
            "role-too-small" => Some("--token-file names a file with a token of that role"),
            "not-found" => Some(
                "without tokens a daemon lets its own machine alone ask; where it has tokens, --token-file names a file with one",
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rstest::rstest;

    /// What is refused with the database's advice.
    pub(in crate::cli::place) fn advised() -> Problem {
        let body =
            br#"{"type": "urn:legwork:problem:wrong-state", "detail": "it runs", "hint": "Wait."}"#;
        let answer = Answer { status: 409, body: body.to_vec(), is_cut_short: false };
        Problem::of("couldn't", &answer)
    }

    #[test]
    fn what_the_database_advises_is_kept() {
        assert_eq!(advised().hint(), Some("Wait."));
        let answer = Answer { status: 409, body: b"{}".to_vec(), is_cut_short: false };
        assert_eq!(Problem::of("couldn't", &answer).hint(), None);
    }

    #[rstest]
    #[case::the_database_said_nothing(
        503,
        r#"{"type": "urn:legwork:problem:outcome-unknown"}"#,
        true
    )]
    #[case::the_daemon_ended(503, r#"{"type": "urn:legwork:problem:daemon-ends"}"#, true)]
    #[case::a_server_between(502, "<html>", true)]
    #[case::not_begun(503, r#"{"type": "urn:legwork:problem:overloaded"}"#, false)]
    #[case::refused(500, r#"{"type": "urn:legwork:problem:database-refused"}"#, false)]
    #[case::another_server(404, "nothing here", false)]
    fn a_change_may_have_been_made_where_nobody_says_that_it_was_not(
        #[case] status: u16,
        #[case] body: &str,
        #[case] may_be: bool,
    ) {
        let answer = Answer { status, body: body.into(), is_cut_short: false };
        let error = Problem::of("couldn't; no job was changed", &answer).of_change();
        assert_eq!(error.is::<Unsure>(), may_be);
        let promises = format!("{error:?}").contains("no job was changed");
        assert_eq!(promises, !may_be, "{error:?}");
    }

    #[rstest]
    #[case::state(
        409,
        br#"{"type": "urn:legwork:problem:wrong-state", "detail": "it runs"}"#,
        "wrong-state",
        "it runs",
        Code::Failed
    )]
    #[case::away(
        503,
        br#"{"type": "urn:legwork:problem:database-unavailable", "detail": "away"}"#,
        "database-unavailable",
        "away",
        Code::TryAgain
    )]
    #[case::what_failed_is_said_once(
        503,
        br#"{"type": "urn:legwork:problem:database-unavailable", "detail": "couldn't: a lock is held"}"#,
        "database-unavailable",
        "a lock is held",
        Code::TryAgain
    )]
    #[case::of_another_server(
        404,
        b"nothing here\n",
        "",
        "the answer was 404 nothing here",
        Code::Failed
    )]
    fn a_problem_is_told_in_the_daemons_words(
        #[case] status: u16,
        #[case] body: &[u8],
        #[case] kind: &str,
        #[case] said: &str,
        #[case] code: Code,
    ) {
        let answer = Answer { status, body: body.to_owned(), is_cut_short: false };
        let problem = Problem::of("couldn't", &answer);
        assert_eq!(
            (problem.kind.as_str(), problem.said(), problem.code()),
            (kind, said.to_owned(), code)
        );
    }
}
