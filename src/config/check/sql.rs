//! `handler = "sql"`: which function is called, and under which role.

use crate::config::{
    FunctionName,
    reader::{At, Reader},
    settings::SqlSettings,
};

/// Longest name that Postgres keeps, in bytes.
const NAME_MAX_BYTES: usize = 63;

pub(super) fn settings(reader: &mut Reader<'_>, at: At<'_>) -> Option<SqlSettings> {
    let role = reader.text(at, "role", role);
    if reader.raw(at, "function").is_none() && !reader.broken {
        let message = format!(
            "{} is missing: handler = \"sql\" needs the function's schema and name, \"app.recalc\"",
            at.label("function")
        );
        let place = reader.place(at, "handler");
        reader.mistakes.push(message, place);
    }
    let function = reader.text(at, "function", |text| FunctionName::new(text).map(drop))?;
    Some(SqlSettings { function: FunctionName::new(&function).ok()?, role })
}

/// Any name that a role can have. `none` is none: it means the one who logged in.
pub(super) fn role(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > NAME_MAX_BYTES {
        return Err(format!("a role's name has 1 to {NAME_MAX_BYTES} bytes"));
    }
    if text.eq_ignore_ascii_case("none") {
        return Err("no role is called so: leave the key out for the daemon's own".into());
    }
    Ok(())
}
