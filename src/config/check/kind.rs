//! `[[kind]]`: which handler runs it, and that it has that handler's keys and no others.

use super::{Given, Warnings, command, policy, unnamed};
use crate::{
    config::{
        file::Item,
        keys::{COMMAND_KEYS, HANDLERS},
        reader::{At, Reader},
        settings::{HandlerSettings, KindSettings},
    },
    job::{KindName, KindPolicy},
};

pub(super) fn all(
    reader: &mut Reader<'_>,
    given: &Given<'_>,
    retry: &KindPolicy,
    warnings: &mut Warnings,
) -> Vec<KindSettings> {
    let one = |item: &Item| one(reader, given, item, retry, warnings);
    given.kinds.iter().filter_map(one).collect()
}

fn one(
    reader: &mut Reader<'_>,
    given: &Given<'_>,
    item: &Item,
    retry: &KindPolicy,
    warnings: &mut Warnings,
) -> Option<KindSettings> {
    let at = At { section: "kind", item: Some(&item.id) };
    let name = KindName::new(&item.id).ok();
    if name.is_none() {
        unnamed(reader, at);
    }
    let policy = policy(reader, at, retry);
    let rate_limit = reader.rate_limit(at, "rate_limit");
    let handler = handler(reader, given, item, warnings);
    Some(KindSettings { name: name?, handler: handler?, policy, rate_limit })
}

fn handler(
    reader: &mut Reader<'_>,
    given: &Given<'_>,
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
    if handler == "command" {
        let settings = command::settings(reader, at, given.environment, warnings);
        return settings.map(HandlerSettings::Command);
    }
    for key in COMMAND_KEYS {
        if reader.raw(at, key).is_some() {
            let why = format!("it belongs to handler = \"command\", and this one is {handler:?}");
            reader.refuse(at, key, &why);
        }
    }
    Some(match handler {
        "noop" => HandlerSettings::Noop,
        "sleep" => HandlerSettings::Sleep,
        _ => HandlerSettings::Rust,
    })
}
