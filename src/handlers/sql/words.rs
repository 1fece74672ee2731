//! What an attempt's record says of a refusal, and what a log line may say of it.
//!
//! The record stands in the database beside the payload and has everything. Log lines go elsewhere, and
//! Postgres quotes values in its own sentences: `Key (number)=(…) already exists`, `invalid input syntax
//! for type integer: "…"`. What the function raises itself is its own words.

use crate::{
    job::{JobError, JobId},
    postgres::{Refusal, Words},
};

/// Both: all of it, and what lines about the job may tell.
pub(super) fn error(refusal: &Refusal, role: Option<&str>, job: JobId) -> JobError {
    JobError::told_otherwise(in_words(refusal), for_logs(refusal, role, job))
}

/// As psql shows it.
fn in_words(refusal: &Refusal) -> String {
    let Refusal { sqlstate, message, detail, hint, context, .. } = refusal;
    let parts = [("DETAIL", detail), ("HINT", hint), ("CONTEXT", context)];
    let parts = parts.into_iter().filter_map(|(name, part)| Some((name, part.as_ref()?)));
    let parts = parts.map(|(name, part)| format!("{name}: {part}"));
    std::iter::once(format!("{sqlstate}: {message}")).chain(parts).collect::<Vec<_>>().join("\n")
}

/// The same without what may quote values.
fn for_logs(refusal: &Refusal, role: Option<&str>, job: JobId) -> String {
    let elsewhere = format!("shown by `legwork job show {job}`");
    let message = if refusal.quotes_values(role) {
        format!("the server's words may quote values and are {elsewhere}")
    } else {
        refusal.message.clone()
    };
    let detail = refusal.detail.as_ref().map(|_| elsewhere);
    let hint = refusal.hint.clone().filter(|_| refusal.words == Words::Own);
    let context = refusal.context.as_deref().map(places).filter(|places| !places.is_empty());
    let parts = [
        ("CONSTRAINT", refusal.constraint.clone()),
        ("COLUMN", refusal.column.clone()),
        ("DETAIL", detail),
        ("HINT", hint),
        ("CONTEXT", context),
    ];
    let parts = parts.into_iter().filter_map(|(name, part)| Some(format!("{name}: {}", part?)));
    let said = format!("{}: {message}", refusal.sqlstate);
    std::iter::once(said).chain(parts).collect::<Vec<_>>().join("\n")
}

/// The lines that say where in which function it was. Others quote statements, lines of data, or what a statement's
/// parameters were, over as many lines as those have, and these may look like any: where there are some, only the last
/// line is surely the server's, which says where our call was.
fn places(context: &str) -> String {
    let lines: Vec<_> = context.lines().map(str::trim).collect();
    let from = if lines.iter().all(|line| is_place(line)) { 0 } else { lines.len() - 1 };
    let places: Vec<_> = lines[from..].iter().copied().filter(|line| is_place(line)).collect();
    places.join("\n")
}

/// `PL/pgSQL function app.f(jsonb) line 3 at RAISE`, `SQL function "f" statement 1`, `PL/Perl function "f"`.
fn is_place(line: &str) -> bool {
    let Some((language, place)) = line.split_once(" function ") else { return false };
    let quoted = place.strip_prefix('"').and_then(|rest| rest.split_once('"'));
    let behind = quoted.map(|(_, behind)| behind);
    if language == "SQL" {
        let statement = behind.and_then(|it| it.strip_prefix(" statement "));
        return statement.is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
            || matches!(behind, Some(" during startup" | " during inlining"));
    }
    let is_language = language.starts_with("PL/") && !language.contains(char::is_whitespace);
    let ends_in_words = place.ends_with(|last: char| last.is_ascii_alphanumeric());
    let is_said = [" line ", " during ", " while "].iter().any(|word| place.contains(word));
    is_language && (behind == Some("") || (ends_in_words && is_said))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const AT: &str = "PL/pgSQL function app.f(jsonb) line 3 at SQL statement";

    fn refusal(sqlstate: &str, message: &str, context: &str) -> Refusal {
        Refusal {
            sqlstate: sqlstate.into(),
            message: message.into(),
            context: (!context.is_empty()).then(|| context.into()),
            ..Refusal::default()
        }
    }

    #[test]
    fn a_record_has_all_that_the_server_says_and_a_line_says_where_it_is() {
        let refusal = Refusal {
            detail: Some("Key (id)=(S3CRET) exists.".into()),
            hint: Some("Not S3CRET.".into()),
            constraint: Some("t_key".into()),
            ..refusal("23505", "duplicate key", &format!("SQL statement \"INSERT\"\n{AT}"))
        };
        let error = error(&refusal, None, JobId(7));
        assert_eq!(
            error.as_str(),
            format!(
                "23505: duplicate key\nDETAIL: Key (id)=(S3CRET) exists.\nHINT: Not S3CRET.\n\
                 CONTEXT: SQL statement \"INSERT\"\n{AT}"
            )
        );
        assert_eq!(
            error.for_logs(),
            format!(
                "23505: the server's words may quote values and are shown by `legwork job show 7`\n\
                 CONSTRAINT: t_key\nDETAIL: shown by `legwork job show 7`\nCONTEXT: {AT}"
            )
        );
    }

    #[test]
    fn what_a_function_raises_is_told_as_it_says_it_without_the_detail() {
        let refusal = Refusal {
            words: Words::Own,
            detail: Some("S3CRET".into()),
            hint: Some("ask the buyer".into()),
            ..refusal("22023", "no such customer", "PL/pgSQL function app.f(jsonb) line 3 at RAISE")
        };
        assert_eq!(
            for_logs(&refusal, None, JobId(7)),
            "22023: no such customer\nDETAIL: shown by `legwork job show 7`\nHINT: ask the buyer\n\
             CONTEXT: PL/pgSQL function app.f(jsonb) line 3 at RAISE"
        );
    }

    #[rstest]
    #[case::bad_cast("22P02", "of S3CRET", Words::Quoting, true)]
    #[case::missing("42P01", "of S3CRET", Words::Quoting, true)]
    #[case::no_role("22023", "role \"jobs\" does not exist", Words::Quoting, false)]
    #[case::forbidden_role(
        "42501",
        "permission denied to set role \"jobs\"",
        Words::Quoting,
        false
    )]
    #[case::role_and_more("22023", "role \"jobs\" is S3CRET", Words::Quoting, true)]
    #[case::deadlock("40P01", "deadlock detected", Words::Plain, false)]
    fn the_servers_words_are_told_where_they_quote_no_value(
        #[case] sqlstate: &str,
        #[case] message: &str,
        #[case] words: Words,
        #[case] left_out: bool,
    ) {
        let refusal = Refusal { words, ..refusal(sqlstate, message, AT) };
        let line = for_logs(&refusal, Some("jobs"), JobId(7));
        assert_eq!(!line.contains(message), left_out, "{line}");
        assert!(line.starts_with(&format!("{sqlstate}: ")), "{line}");
    }

    #[rstest]
    #[case::one(AT, AT)]
    #[case::two(
        "SQL function \"g\" statement 1\nPL/pgSQL function app.f(jsonb) line 3 at RAISE",
        "SQL function \"g\" statement 1\nPL/pgSQL function app.f(jsonb) line 3 at RAISE"
    )]
    #[case::below_a_statement(
        "SQL statement \"SELECT 1\"\nPL/pgSQL function app.f(jsonb) line 3 at SQL statement",
        AT
    )]
    #[case::a_statement_that_looks_like_places(
        "SQL statement \"SELECT 'x\nPL/pgSQL function S3CRET() line 1 at RAISE\nSQL function S3CRET'\"\n\
         PL/pgSQL function app.f(jsonb) line 3 at SQL statement",
        AT
    )]
    #[case::of_another_language("PL/Perl function \"f\"", "PL/Perl function \"f\"")]
    #[case::marks_of_another_tongue("SQL-Anweisung »SELECT 'a\nSQL function S3CRET'«", "")]
    #[case::data("JSON data, line 1: S3CRET", "")]
    #[case::parameters(
        "PL/pgSQL function app.g() line 1 at RAISE\nunnamed portal with parameters: $1 = 'S3CRET'",
        ""
    )]
    #[case::parameters_that_look_like_a_place(
        "portal with parameters: $1 = 'a\nSQL function \"f\" statement S3CRET'",
        ""
    )]
    fn of_a_context_the_lines_that_are_surely_places_are_told(
        #[case] context: &str,
        #[case] told: &str,
    ) {
        assert_eq!(places(context), told);
    }

    #[test]
    fn where_no_place_is_known_none_is_told() {
        let deadlock = refusal("40P01", "deadlock detected", "COPY t: S3CRET");
        let deadlock = Refusal { words: Words::Plain, ..deadlock };
        assert_eq!(for_logs(&deadlock, None, JobId(7)), "40P01: deadlock detected");
    }
}
