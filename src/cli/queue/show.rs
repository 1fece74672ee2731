//! `legwork queue show`: how one queue stands, which settings hold for it, and which daemons serve it.

use super::{
    super::{
        Context,
        moment::{exact, relative, span},
        table::{Table, sheet},
    },
    counted, word,
};
use crate::{
    job::QueueName,
    postgres::operations::{
        DaemonShare, DecidedSetting, QueueDetail, QueueSettingsFrom, RetentionSeconds,
    },
};
use time::Duration;

pub(super) async fn show(queue: &QueueName, context: &Context) -> anyhow::Result<()> {
    let found = context.place().await?.show_queue(queue, context).await?;
    context.output.show(&found, text)
}

fn text(queue: &QueueDetail) -> String {
    let QueueDetail { now, name, state, depth, oldest_age_seconds, settings, daemons, .. } = queue;
    let decided = settings.overridden.as_ref();
    let at = |moment: Option<&String>| moment.map(|at| exact(at, now));
    let facts = sheet([
        ("queue", Some(name.clone())),
        ("state", Some(word(*state).to_owned())),
        ("since", at(decided.and_then(|it| it.paused_at.as_ref()))),
        ("until", at(decided.and_then(|it| it.paused_until.as_ref()))),
        ("reason", decided.and_then(|it| it.reason.clone())),
        ("in line", Some(counted(depth.available))),
        ("waiting longest", oldest_age_seconds.map(|age| span(Duration::seconds_f64(age)))),
        ("scheduled", Some(counted(depth.scheduled))),
        ("retryable", Some(counted(depth.retryable))),
        ("running", Some(depth.running.to_string())),
        ("slots", settings.effective.slots.map(|slots| slots.to_string())),
        ("finished are kept", kept(&settings.effective.retention_seconds)),
    ]);
    let settings = holding(settings, now);
    match daemons.as_slice() {
        [] => format!("{facts}\n{settings}\nno daemon serves it\n"),
        daemons => format!("{facts}\n{settings}\n{}", serving(daemons)),
    }
}

/// What holds, what the file says, and what was decided, until when and why.
fn holding(settings: &QueueSettingsFrom, now: &str) -> String {
    let QueueSettingsFrom { file, overridden, effective } = settings;
    let file = file.as_ref();
    let decided = overridden.as_ref();
    let mut table = Table::new()
        .text("SETTING", 11)
        .text("HOLDS", 24)
        .text("IN THE FILE", 24)
        .text("DECIDED", 12)
        .text("UNTIL", 12)
        .text("REASON", 40);
    let concurrency = (
        "concurrency",
        effective.concurrency.map(|jobs| jobs.to_string()),
        file.map(|file| file.concurrency.to_string()),
        decided.and_then(|decided| decided.concurrency.as_ref()),
    );
    let rate_limit = (
        "rate limit",
        effective.rate_limit.clone(),
        file.and_then(|file| file.rate_limit.clone()),
        decided.and_then(|decided| decided.rate_limit.as_ref()),
    );
    for (name, holds, of_file, decided) in [concurrency, rate_limit] {
        let [since, until, reason] = decided.map(|it| about(it, now)).unwrap_or_default();
        // Of no file here, each daemon goes by its own.
        let otherwise = if file.is_some() { "none" } else { "each daemon's file" };
        let holds = holds.unwrap_or_else(|| otherwise.to_owned());
        let of_file = of_file.unwrap_or_default();
        table.row([name.to_owned(), holds, of_file, since, until, reason]);
    }
    table.render()
}

/// Since when, until when, and why.
fn about(decided: &DecidedSetting, now: &str) -> [String; 3] {
    let DecidedSetting { set_at, until, reason, .. } = decided;
    let until = until.as_ref().map(|until| relative(until, now));
    [relative(set_at, now), until.unwrap_or_default(), reason.clone().unwrap_or_default()]
}

fn serving(daemons: &[DaemonShare]) -> String {
    let mut table = Table::new()
        .text("DAEMON", 32)
        .text("ID", 20)
        .text("STATE", 5)
        .number("SLOTS")
        .number("IN USE")
        .number("WAITING")
        .text("RATE LIMIT", 24);
    let number = |number: Option<i64>| number.map(|it| it.to_string()).unwrap_or_default();
    for DaemonShare { id, name, state, slots, rate, burst, in_use, waiting } in daemons {
        let limit = match (rate, burst) {
            (Some(rate), Some(burst)) => format!("{rate} burst {burst}"),
            (rate, _) => rate.clone().unwrap_or_default(),
        };
        let name = name.clone().unwrap_or_default();
        let state = state.as_str().to_owned();
        let [slots, in_use, waiting] = [slots, in_use, waiting].map(|it| number(*it));
        table.row([name, id.clone(), state, slots, in_use, waiting, limit]);
    }
    table.render()
}

/// How long, as far as a daemon has published it.
fn kept(retention: &RetentionSeconds) -> Option<String> {
    let RetentionSeconds { completed, cancelled, discarded } = retention;
    let each = [("completed", completed), ("cancelled", cancelled), ("discarded", discarded)];
    let each = each.into_iter().filter_map(|(ended, seconds)| {
        let time = Duration::seconds_f64((*seconds)?);
        Some(if time.is_zero() {
            format!("{ended} not")
        } else {
            format!("{ended} {}", span(time))
        })
    });
    let each = each.collect::<Vec<_>>().join(", ");
    (!each.is_empty()).then_some(each)
}
