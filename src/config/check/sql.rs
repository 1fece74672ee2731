//! `handler = "sql"`: which function is called, and under which role.

use crate::config::{
    FunctionName,
    reader::{At, Reader},
    settings::{HandlerSettings, KindSettings, Settings, SqlSettings},
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

/// More functions at once than there are connections for.
pub(super) fn short_of_connections(settings: &Settings) -> Option<String> {
    let calls = |kind: &KindSettings| matches!(kind.handler, HandlerSettings::Sql(_));
    let widest = settings.queues.iter().max_by_key(|queue| queue.concurrency)?;
    let connections = settings.database.sql_connections;
    let short = settings.kinds.iter().any(calls) && widest.concurrency > connections;
    short.then(|| {
        format!(
            "database.sql_connections: {connections} functions run at once, and queue {:?} takes {} \
             jobs: one that finds no connection within five seconds is put off with an error line; \
             raise it, or lower concurrency, unless functions are short",
            widest.name.as_str(),
            widest.concurrency
        )
    })
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
