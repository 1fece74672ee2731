//! What the database said where it refused something, and whether log lines may tell it.
//!
//! Postgres quotes values in its own sentences: `invalid input syntax for type integer: "…"`. Lines go elsewhere than
//! the database, so what may quote one isn't told there. What a function or a trigger raises itself is its own words.

use sqlx::postgres::PgDatabaseError;

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
    /// Whether a function said it by RAISE, in words of its own.
    pub is_raised: bool,
    /// Whether it is about a place in the text of a statement, and not about a value.
    pub is_of_text: bool,
}

/// Classes whose sentences quote no value: of sessions and transactions, of rights and names, of limits and the server
/// itself, and of what PL/pgSQL says by itself.
const PLAIN: [&str; 17] = [
    "08", "0A", "21", "25", "28", "2D", "3D", "3F", "40", "42", "53", "54", "55", "57", "72", "P0",
    "XX",
];

/// What is missing or no name, which is a value where no text of a statement is spoken of: `($1 ->> 'table')::regclass`.
const NAMING: [&str; 5] = ["42602", "42704", "42883", "42P01", "3F000"];

/// A syntax error. Those of a function are found when it is made, so that this one is a value's: `($1 ->> 'type')::regtype`.
const SYNTAX: &str = "42601";

/// Where statements are made while the function runs: what is said of one may quote what it was made of.
const MADE: [&str; 3] = ["EXECUTE", "RETURN QUERY", "OPEN"];

/// `invalid_parameter_value`, of a role say.
pub const BAD_VALUE: &str = "22023";

/// The server's own routine behind RAISE: no SQLSTATE tells, since RAISE takes any, and no CONTEXT, since what
/// RAISE is given may itself be refused.
const RAISING: &str = "exec_stmt_raise";

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
            is_raised: said.routine() == Some(RAISING),
            is_of_text: said.position().is_some(),
        })
    }

    /// Whether the message may quote a value. The role is the one that the configuration names, if any.
    pub fn quotes_values(&self, role: Option<&str>) -> bool {
        if self.is_raised {
            return false;
        }
        let context = self.context.as_deref();
        // The one value that the configuration gives, told of before the function is called.
        let is_role = |role| context.is_none() && self.message.contains(&format!("\"{role}\""));
        if self.sqlstate == BAD_VALUE && role.is_some_and(is_role) {
            return false;
        }
        let sqlstate = &*self.sqlstate;
        if sqlstate == SYNTAX || (NAMING.contains(&sqlstate) && !self.is_of_text) {
            return true;
        }
        let is_made = |context: &str| MADE.iter().any(|made| context.contains(made));
        let is_plain = sqlstate.get(..2).is_some_and(|class| PLAIN.contains(&class));
        !is_plain || context.is_some_and(is_made)
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
        let raised = Refusal { is_raised: true, ..refusal };
        assert!(raised.line().ends_with(": of S3CRET"), "its own words");
    }

    #[rstest]
    #[case::ended("57P01", "terminating connection due to administrator command")]
    #[case::locked("55P03", "canceling statement due to lock timeout")]
    #[case::without_a_right("42501", "permission denied for table job")]
    #[case::broken("XX001", "invalid page in block 7")]
    fn what_is_wrong_with_the_server_or_a_right_is_told(
        #[case] sqlstate: &str,
        #[case] message: &str,
    ) {
        let refusal =
            Refusal { sqlstate: sqlstate.into(), message: message.into(), ..Refusal::default() };
        assert_eq!(refusal.line(), format!("{sqlstate}: {message}"));
    }
}
