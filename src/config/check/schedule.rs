//! `[[schedule]]`: that it fires at all, in a zone that exists, and what it enqueues.

use super::{Given, Warnings, unnamed};
use crate::{
    config::{
        defaults,
        file::Item,
        keys::closest,
        reader::{At, Reader},
        settings::ScheduleSettings,
    },
    job::{KindName, QueueName, ScheduleName},
    schedule::{CatchUp, Overlap, Rule, Zone},
};
use std::time::Duration;

pub(super) fn all(
    reader: &mut Reader<'_>,
    given: &Given<'_>,
    warnings: &mut Warnings,
) -> Vec<ScheduleSettings> {
    given.schedules.iter().filter_map(|item| one(reader, given, item, warnings)).collect()
}

fn one(
    reader: &mut Reader<'_>,
    given: &Given<'_>,
    item: &Item,
    warnings: &mut Warnings,
) -> Option<ScheduleSettings> {
    let at = At { section: "schedule", item: Some(&item.id) };
    let name = ScheduleName::new(&item.id).ok();
    if name.is_none() {
        unnamed(reader, at);
    }
    needed(reader, item, "cron", "when it fires, as \"0 3 * * *\"");
    needed(reader, item, "kind", "what it enqueues");
    let rule = rule(reader, at);
    let kind = named(reader, at, "kind", |text| KindName::new(text).map_err(|e| e.to_string()));
    let queue = named(reader, at, "queue", |text| QueueName::new(text).map_err(|e| e.to_string()));
    let settings = ScheduleSettings {
        payload: reader.json(at, "payload").unwrap_or_else(|| "{}".into()),
        priority: reader.signed(at, "priority", 0),
        catch_up: match reader.one_of(at, "catch_up") {
            Some("none") => CatchUp::None,
            Some("all") => CatchUp::All,
            _ => CatchUp::Last,
        },
        overlap: match reader.one_of(at, "overlap") {
            Some("allow") => Overlap::Allow,
            _ => Overlap::Skip,
        },
        jitter: reader.duration(at, "jitter", Duration::ZERO),
        queue: queue.unwrap_or_else(defaults::default_queue),
        name: name?,
        rule: rule?,
        kind: kind?,
    };
    warnings.extend(doubts(at, given, &settings));
    Some(settings)
}

fn needed(reader: &mut Reader<'_>, item: &Item, key: &str, what: &str) {
    let at = At { section: "schedule", item: Some(&item.id) };
    if reader.raw(at, key).is_none() && !reader.broken {
        let message = format!("{} is missing: write {what}", at.label(key));
        reader.mistakes.push(message, item.place.as_deref());
    }
}

fn named<T>(
    reader: &mut Reader<'_>,
    at: At<'_>,
    key: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    let text = reader.text(at, key, |text| parse(text).map(drop))?;
    parse(&text).ok()
}

fn rule(reader: &mut Reader<'_>, at: At<'_>) -> Option<Rule> {
    let zone = match reader.raw(at, "timezone") {
        None => Some(Zone::utc()),
        Some(_) => named(reader, at, "timezone", |text| {
            Zone::new(text).map_err(|unknown| {
                let names = Zone::names();
                let near = closest(text, names.iter().map(String::as_str), 0.5);
                let near = near.map(|near| format!("; did you mean {near:?}?"));
                format!("{unknown}{}", near.unwrap_or_default())
            })
        }),
    };
    // A wrong zone is no reason to keep quiet about a wrong pattern.
    named(reader, at, "cron", |text| {
        let zone = zone.clone().unwrap_or_else(Zone::utc);
        Rule::new(text, zone).map_err(|error| format!("{text:?}: {error}"))
    })
    .filter(|_| zone.is_some())
}

/// What is allowed, and perhaps not what was meant.
fn doubts(at: At<'_>, given: &Given<'_>, schedule: &ScheduleSettings) -> Vec<String> {
    let listed = |items: &[Item], name: &str| items.iter().any(|item| item.id == name);
    let (kind, queue) = (schedule.kind.as_str(), schedule.queue.as_str());
    let mut doubts = Vec::new();
    let unserved = "the jobs wait for a daemon that serves it";
    if !listed(given.kinds, kind) {
        doubts.push(format!("{}: no [[kind]] is called {kind:?}; {unserved}", at.label("kind")));
    }
    if !listed(given.queues, queue) {
        doubts.push(format!("{}: no [[queue]] is called {queue:?}; {unserved}", at.label("queue")));
    }
    if schedule.catch_up == CatchUp::All && schedule.overlap == Overlap::Skip {
        doubts.push(format!(
            "{}: of several missed instants all but the first find its job unfinished and pass, \
             since overlap is \"skip\"",
            at.label("catch_up")
        ));
    }
    doubts
}
