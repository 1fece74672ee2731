//! `[[kind]]`: which handler runs it, and that it has that handler's keys and no others.

use super::{Given, Warnings, command, http, policy, sql, unnamed};
use crate::{
    config::{
        file::Item,
        form::duration_text,
        keys::{HANDLER_KEYS, HANDLERS},
        reader::{At, Reader},
        settings::{Admin, CommandSettings, HandlerSettings, KindSettings, Settings},
    },
    job::{KindName, KindPolicy},
};

pub(super) fn all(
    reader: &mut Reader<'_>,
    given: &Given<'_>,
    (retry, admin): (&KindPolicy, &Admin),
    warnings: &mut Warnings,
) -> Vec<KindSettings> {
    let one = |item: &Item| one(reader, given, item, (retry, admin), warnings);
    given.kinds.iter().filter_map(one).collect()
}

fn one(
    reader: &mut Reader<'_>,
    given: &Given<'_>,
    item: &Item,
    (retry, admin): (&KindPolicy, &Admin),
    warnings: &mut Warnings,
) -> Option<KindSettings> {
    let at = At { section: "kind", item: Some(&item.id) };
    let name = KindName::new(&item.id).ok();
    if name.is_none() {
        unnamed(reader, at);
    }
    let policy = policy(reader, at, retry);
    let rate_limit = reader.rate_limit(at, "rate_limit");
    let handler = handler(reader, (given, admin), item, warnings);
    Some(KindSettings { name: name?, handler: handler?, policy, rate_limit })
}

/// Where a kind asks for a `kill_grace` that isn't always granted. It is no mistake: it holds on cancel
/// and at the deadline, and leases and the end of the daemon are kept whatever it says.
pub(super) fn cut_short(reader: &Reader<'_>, settings: &Settings) -> Vec<String> {
    let Settings { daemon, shutdown, kinds, .. } = settings;
    let limits = [
        ("once its lease is lost", "daemon.lease_ttl / 6", daemon.margin()),
        ("at shutdown", "shutdown.cancel_grace", shutdown.cancel_grace),
    ];
    let warning = |kind: &KindSettings| {
        let HandlerSettings::Command(CommandSettings { kill_grace, .. }) = kind.handler else {
            return None;
        };
        let at = At { section: "kind", item: Some(kind.name.as_str()) };
        reader.raw(at, "kill_grace")?;
        let shorter = limits.iter().filter(|(_, _, limit)| *limit < kill_grace);
        let shorter: Vec<_> = shorter
            .map(|(when, key, limit)| format!("{when} after {key} = {}", duration_text(*limit)))
            .collect();
        (!shorter.is_empty()).then(|| {
            format!(
                "{}: it is {}, but the program is killed {}",
                at.label("kill_grace"),
                duration_text(kill_grace),
                shorter.join(", and ")
            )
        })
    };
    kinds.iter().filter_map(warning).collect()
}

fn handler(
    reader: &mut Reader<'_>,
    (given, admin): (&Given<'_>, &Admin),
    item: &Item,
    warnings: &mut Warnings,
) -> Option<HandlerSettings> {
    let at = At { section: "kind", item: Some(&item.id) };
    if reader.raw(at, "handler").is_none() {
        if !reader.broken {
            let message =
                format!("{} is missing: write one of {}", at.label("handler"), HANDLERS.join(", "));
            reader.mistakes.push(message, item.place.as_deref());
        }
        return None;
    }
    let handler = reader.one_of(at, "handler")?;
    if handler == "rust" && given.no_rust {
        reader.refuse(at, "handler", "\"rust\", but this program registers no handler for it");
    }
    for (owner, keys) in HANDLER_KEYS.iter().filter(|(owner, _)| *owner != handler) {
        for key in *keys {
            if reader.raw(at, key).is_some() {
                let why = format!("it belongs to handler = {owner:?}, and this one is {handler:?}");
                reader.refuse(at, key, &why);
            }
        }
    }
    match handler {
        "command" => {
            let settings = command::settings(reader, at, given.environment, warnings);
            settings.map(HandlerSettings::Command)
        }
        "http" => {
            let settings = http::settings(reader, at, admin, warnings);
            settings.map(|settings| HandlerSettings::Http(Box::new(settings)))
        }
        "sql" => sql::settings(reader, at).map(HandlerSettings::Sql),
        "noop" => Some(HandlerSettings::Noop),
        "sleep" => Some(HandlerSettings::Sleep),
        _ => Some(HandlerSettings::Rust),
    }
}
