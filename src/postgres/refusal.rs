//! What the database said where it refused something, and whether log lines may tell it.
//!
//! Postgres quotes values in its own sentences, and in those of any SQLSTATE: `invalid input syntax for type integer: "…"`,
//! `column "…" does not exist`, `word is too long in tsquery: "…"`. Lines go elsewhere than the database, so a sentence is
//! told there only where it is known to hold none. What a function or a trigger raises itself is its own words.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

/// What the database said where it refused something.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusal {
    /// SQLSTATE.
    pub sqlstate: String,
    /// The message.
    pub message: String,
    /// DETAIL, where there is one.
    pub detail: Option<String>,
    /// HINT, where there is one.
    pub hint: Option<String>,
    /// CONTEXT: where in the function it was.
    pub context: Option<String>,
    /// The constraint that it broke.
    pub constraint: Option<String>,
    /// The column that it is about.
    pub column: Option<String>,
    /// Whose words the message is.
    pub words: Words,
}

/// Whose words a message is, and so what may stand in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Words {
    /// A function's own, said by RAISE.
    Own,
    /// The server's, and known to quote no value.
    Plain,
    /// The server's, which may quote whatever it was given.
    #[default]
    Quoting,
}

/// Sentences that are always the same.
const SENTENCES: [&str; 14] = [
    "canceling statement due to lock timeout",
    "canceling statement due to statement timeout",
    "canceling statement due to user request",
    "control reached end of function without RETURN",
    "could not serialize access due to concurrent delete",
    "could not serialize access due to concurrent update",
    "could not serialize access due to read/write dependencies among transactions",
    "current transaction is aborted, commands ignored until end of transaction block",
    "deadlock detected",
    "division by zero",
    "out of memory",
    "out of shared memory",
    "stack depth limit exceeded",
    "tuple concurrently updated",
];

/// The server's own routines whose sentences name only what is there: tables, functions, schemas, files of its own. They
/// are asked for in place of words, which the server may say in another language.
const ROUTINES: [&str; 21] = [
    "BufFileDumpBuffer",
    "DeadLockReport",
    "ExecFindPartition",
    "FileWrite",
    "GetNewMultiXactId",
    "GetNewTransactionId",
    "PreventCommandDuringRecovery",
    "PreventCommandIfReadOnly",
    "ProcessInterrupts",
    "ReadBuffer_common",
    "SlruReportIOError",
    "WaitReadBuffers",
    "_bt_checkpage",
    "buffer_readv_report",
    "dsm_impl_posix",
    "mdextend",
    "mdread",
    "mdreadv",
    "mdwrite",
    "mdwritev",
    "mdzeroextend",
];

/// What rights are asked of that is there, in the sentences of `aclcheck_error`; a parameter needn't be.
const RIGHTS: [&str; 8] = [
    "permission denied for column ",
    "permission denied for database ",
    "permission denied for function ",
    "permission denied for schema ",
    "permission denied for sequence ",
    "permission denied for table ",
    "permission denied for type ",
    "permission denied for view ",
];

/// `invalid_parameter_value`, of a role say.
pub const BAD_VALUE: &str = "22023";

/// The server's own routine behind RAISE: no SQLSTATE tells, since RAISE takes any, and no CONTEXT, since what
/// RAISE is given may itself be refused.
const RAISING: &str = "exec_stmt_raise";

fn begins_with_any(text: &str, beginnings: &[&str]) -> bool {
    beginnings.iter().any(|beginning| text.starts_with(beginning))
}

impl Words {
    fn of(said: &PgDatabaseError) -> Self {
        let routine = said.routine().unwrap_or_default();
        // The text of a statement of ours holds no value, and whoever speaks of a place in it from within a function says so.
        let is_of_our_text = matches!(said.position(), Some(PgErrorPosition::Original(_)))
            && said.r#where().is_none();
        if routine == RAISING {
            Self::Own
        } else if is_of_our_text
            || ROUTINES.contains(&routine)
            || SENTENCES.contains(&said.message())
            || (routine.starts_with("aclcheck_error") && begins_with_any(said.message(), &RIGHTS))
        {
            Self::Plain
        } else {
            Self::Quoting
        }
    }
}

impl Refusal {
    /// What the server said, where it said something.
    pub(super) fn of(error: &sqlx::Error) -> Option<Self> {
        let sqlx::Error::Database(refused) = error else { return None };
        let said = refused.try_downcast_ref::<PgDatabaseError>()?;
        Some(Self {
            sqlstate: said.code().to_owned(),
            message: said.message().to_owned(),
            detail: said.detail().map(str::to_owned),
            hint: said.hint().map(str::to_owned),
            context: said.r#where().map(str::to_owned),
            constraint: said.constraint().map(str::to_owned),
            column: said.column().map(str::to_owned),
            words: Words::of(said),
        })
    }

    /// Whether the message may quote a value. The role is the one that the configuration names, if any: the one value
    /// that it gives, told of before the function is called.
    pub fn quotes_values(&self, role: Option<&str>) -> bool {
        let is_of_role = |role| {
            self.message == format!("role \"{role}\" does not exist")
                || self.message == format!("permission denied to set role \"{role}\"")
        };
        self.words == Words::Quoting && !role.is_some_and(is_of_role)
    }

    /// In a line: SQLSTATE and message, or what stands for it.
    pub(super) fn line(&self) -> String {
        let Self { sqlstate, message, constraint, .. } = self;
        if !self.quotes_values(None) {
            return format!("{sqlstate}: {message}");
        }
        let constraint = constraint.as_ref().map(|name| format!(" (constraint {name})"));
        let constraint = constraint.unwrap_or_default();
        format!(
            "{sqlstate}{constraint}: the server's words may quote values, and stand in its own log"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::a_cast("22P02", "")]
    #[case::a_name("42703", "")]
    #[case::a_limit("54000", "")]
    #[case::the_server_itself("XX000", "")]
    #[case::a_constraint("23514", " (constraint c)")]
    #[case::a_file("58P01", "")]
    #[case::a_cursor("34000", "")]
    #[case::a_foreign_server("HV000", "")]
    fn what_may_quote_a_value_is_not_told(#[case] sqlstate: &str, #[case] named: &str) {
        let constraint = (!named.is_empty()).then(|| "c".to_owned());
        let (sqlstate, message) = (sqlstate.to_owned(), "of S3CRET".to_owned());
        let refusal = Refusal { sqlstate, message, constraint, ..Refusal::default() };
        let line = refusal.line();
        assert!(line.starts_with(&format!("{}{named}: the server's", refusal.sqlstate)), "{line}");
        let raised = Refusal { words: Words::Own, ..refusal };
        assert!(raised.line().ends_with(": of S3CRET"), "its own words");
    }

    #[test]
    fn what_is_known_to_quote_none_is_told() {
        let (sqlstate, message) =
            ("42501".to_owned(), "permission denied for table job".to_owned());
        let refusal = Refusal { sqlstate, message, words: Words::Plain, ..Refusal::default() };
        assert_eq!(refusal.line(), "42501: permission denied for table job");
    }
}
