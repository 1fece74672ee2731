//! The rules of a producer's columns, by the names that the database gives them.
//!
//! One table, so that what is found before a row is sent and what the database refuses read alike. A
//! test holds it to the database's own constraints.

use sqlx::postgres::PgDatabaseError;
use std::fmt;

/// A value that a column doesn't take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokenRule {
    /// The column of `legwork.job`.
    pub column: &'static str,
    /// The rule by name, as `docs/sql.md` has it: `priority_is_minus_2_to_2`.
    pub rule: String,
    /// What is wrong, for people.
    pub why: String,
}

impl fmt::Display for BrokenRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.column, self.why, self.rule)
    }
}

/// Each constraint with its column.
pub(super) const RULES: [(&str, &str); 13] = [
    ("kind", "kind_is_1_to_128_of_letters_digits_dot_colon_dash_underscore"),
    ("payload", "payload_is_at_most_1_mib_rendered"),
    ("queue", "queue_is_1_to_128_of_letters_digits_dot_colon_dash_underscore"),
    ("priority", "priority_is_minus_2_to_2"),
    ("run_at", "run_at_is_between_2000_and_2200"),
    ("max_attempts", "max_attempts_is_1_to_1000"),
    ("unique_key", "unique_key_is_1_to_512_bytes"),
    ("unique_key", "job_unique"),
    ("timeout", "timeout_is_above_0_and_at_most_30_days"),
    ("expires_at", "expires_at_is_between_2000_and_2200"),
    ("tags", "tags_are_at_most_4_kib_rendered"),
    ("tags", "tags_are_a_list_without_lists_in_it"),
    ("metadata", "metadata_is_an_object_of_at_most_16_kib_rendered"),
];

/// The rule of text and JSON alike, which is Postgres's own.
const NO_NUL: &str = "no_nul_and_no_lone_surrogate";
/// The rule of what isn't even JSON.
const IS_JSON: &str = "is_json";

/// The first constraint of a column was broken.
pub(super) fn broken(column: &'static str, why: impl Into<String>) -> BrokenRule {
    let rule = rule_of(column).unwrap_or(column).to_owned();
    BrokenRule { column, rule, why: why.into() }
}

/// A column's first constraint.
pub(crate) fn rule_of(column: &str) -> Option<&'static str> {
    RULES.iter().find(|(of, _)| *of == column).map(|(_, rule)| *rule)
}

/// A text that Postgres can't store.
pub(super) fn has_nul(column: &'static str) -> BrokenRule {
    let why = "Postgres stores neither the character NUL nor half of a surrogate pair".to_owned();
    BrokenRule { column, rule: NO_NUL.to_owned(), why }
}

/// A value that can't be written as JSON.
pub(super) fn no_json(column: &'static str, why: &str) -> BrokenRule {
    BrokenRule {
        column,
        rule: IS_JSON.to_owned(),
        why: format!("it can't be written as JSON: {why}"),
    }
}

/// A job in a COPY that wants to be skipped where its key is taken.
pub(super) fn copy_skips_nothing() -> BrokenRule {
    let why = "many jobs at once go by COPY, which can't skip those whose key is taken: say \
               on_conflict(OnConflict::Fail), or enqueue it by itself";
    BrokenRule { column: "unique_key", rule: "job_unique".to_owned(), why: why.to_owned() }
}

/// The rule that the database names in its refusal.
pub(in crate::postgres) fn broken_in_database(error: &sqlx::Error) -> Option<BrokenRule> {
    let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
    let named = error.constraint();
    if let Some((column, rule)) = RULES.iter().find(|(_, rule)| Some(*rule) == named) {
        let why = match *rule {
            "job_unique" => "an unfinished job of the queue has this key",
            _ => error.message(),
        };
        return Some(BrokenRule { column, rule: (*rule).to_owned(), why: why.to_owned() });
    }
    // Of what isn't even a value of the column's type a COPY tells the column.
    let context = error.r#where()?;
    let (_, rest) = context.split_once("COPY job, line ")?;
    let (_, column) = rest.split_once(", column ")?;
    let column = RULES.iter().map(|(of, _)| *of).find(|of| column.starts_with(of))?;
    Some(BrokenRule { column, rule: error.code().to_owned(), why: error.message().to_owned() })
}

/// The name of each rule of a column.
#[doc(hidden)]
pub fn rule_names() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|(_, rule)| *rule)
}
