//! The name of a function in the database, as a kind's `function` gives it.

use std::fmt;

/// A schema and a function in it, each an identifier as the catalogue has it: case counts.
///
/// Nothing else can be built, so that it can stand in a statement, where no parameter can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionName {
    schema: String,
    name: String,
}

/// Longest identifier that Postgres keeps, in bytes.
const IDENTIFIER_MAX_BYTES: usize = 63;

impl FunctionName {
    /// Takes `schema.name`.
    pub fn new(text: &str) -> Result<Self, String> {
        match text.split_once('.') {
            Some((schema, name)) if is_identifier(schema) && is_identifier(name) => {
                Ok(Self { schema: schema.into(), name: name.into() })
            }
            _ => Err(format!(
                "{text:?} isn't a function's schema and name: write \"app.recalc\", each part of at \
                 most {IDENTIFIER_MAX_BYTES} letters, digits or underscores, no digit first, without \
                 arguments, case as in the catalogue"
            )),
        }
    }

    /// As it stands in a statement.
    pub fn quoted(&self) -> String {
        // No quote can be inside.
        format!("\"{}\".\"{}\"", self.schema, self.name)
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

fn is_identifier(text: &str) -> bool {
    let is_start = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.len() <= IDENTIFIER_MAX_BYTES
        && text.starts_with(is_start)
        && text.chars().all(|c| is_start(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::plain("app.recalc", true)]
    #[case::mixed_case("App.re_Calc2", true)]
    #[case::no_schema("recalc", false)]
    #[case::a_database_too("db.app.recalc", false)]
    #[case::empty(".", false)]
    #[case::with_arguments("app.recalc(jsonb)", false)]
    #[case::a_digit_first("app.2recalc", false)]
    #[case::a_quote("app.re\"calc", false)]
    #[case::a_statement("app.x(); DROP TABLE y; --", false)]
    #[case::a_space("app. recalc", false)]
    fn a_function_is_a_schema_and_a_name(#[case] text: &str, #[case] accepted: bool) {
        assert_eq!(FunctionName::new(text).is_ok(), accepted);
        let long = format!("a.{}", "x".repeat(64));
        assert!(FunctionName::new(&long).is_err());
    }
}
