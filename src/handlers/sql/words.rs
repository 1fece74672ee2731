//! What an attempt's record says of a refusal, and what a log line may say of it.
//!
//! The record stands in the database beside the payload and has everything. Log lines go elsewhere, and
//! Postgres quotes values in its own sentences: `Key (number)=(…) already exists`, `invalid input syntax
//! for type integer: "…"`. What the function raises itself is its own words.

use crate::{
    job::{JobError, JobId},
    postgres::Refusal,
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
    let hint = refusal.hint.clone().filter(|_| refusal.is_raised);
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

/// The lines that say where in which function it was. Others quote statements, lines of data, or what a
/// statement's parameters were.
fn places(context: &str) -> String {
    let lines = context.lines().map(str::trim).filter(|line| {
        let language = line.split_once(" function ").map(|(language, _)| language);
        language.is_some_and(|name| name == "SQL" || (name.starts_with("PL/") && is_word(name)))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn is_word(name: &str) -> bool {
    !name.contains(char::is_whitespace)
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
            is_raised: true,
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
    #[case::bad_cast("22P02", "of S3CRET", AT, true)]
    #[case::value_without_a_place("22023", "of S3CRET", "", true)]
    #[case::constraint("23514", "of S3CRET", AT, true)]
    #[case::check_option("44000", "of S3CRET", AT, true)]
    #[case::made_statement("42703", "of S3CRET", "PL/pgSQL function f() line 2 at EXECUTE", true)]
    #[case::missing("42P01", "of S3CRET", AT, true)]
    #[case::role("22023", "role \"jobs\" does not exist", "", false)]
    #[case::role_of_the_functions_own("22023", "role \"jobs\" does not exist", AT, true)]
    #[case::deadlock("40P01", "deadlock detected", AT, false)]
    fn the_servers_words_are_told_where_they_quote_no_value(
        #[case] sqlstate: &str,
        #[case] message: &str,
        #[case] context: &str,
        #[case] left_out: bool,
    ) {
        let line = for_logs(&refusal(sqlstate, message, context), Some("jobs"), JobId(7));
        assert_eq!(!line.contains(message), left_out, "{line}");
        assert!(line.starts_with(&format!("{sqlstate}: ")), "{line}");
    }

    #[test]
    fn what_a_statements_text_names_and_is_missing_is_told() {
        let missing = refusal("42P01", "relation \"x\" does not exist", AT);
        let missing = Refusal { is_of_text: true, ..missing };
        let line = for_logs(&missing, None, JobId(7));
        assert!(line.starts_with("42P01: relation \"x\" does not exist"), "{line}");
    }

    #[test]
    fn of_a_context_the_lines_that_name_a_place_are_told() {
        let context = format!(
            "JSON data, line 1: S3CRET\nSQL statement \"SELECT 'S3CRET\nPL/x y function S3CRET'\"\n{AT}\n\
             SQL function \"g\" statement 1\nunnamed portal with parameters: $1 = 'S3CRET'\n\
             COPY t, line 1, column a: \"S3CRET\""
        );
        assert_eq!(places(&context), format!("{AT}\nSQL function \"g\" statement 1"));
        let nowhere = for_logs(&refusal("40P01", "deadlock", "COPY t: S3CRET"), None, JobId(7));
        assert_eq!(nowhere, "40P01: deadlock");
    }
}
