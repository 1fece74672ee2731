//! `log.filter`: `tracing`'s syntax, and the traps in it.

use crate::config::keys::closest;
use std::iter;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// The root of our targets.
const OURS: &str = "legwork";
/// What stands behind it.
const ROOMS: [&str; 24] = [
    "admin",
    "bench",
    "claimer",
    "cli",
    "completer",
    "config",
    "daemon",
    "demo",
    "dispatcher",
    "embedded",
    "executor",
    "handlers",
    "heartbeat",
    "job",
    "maintenance",
    "outbound",
    "postgres",
    "profile",
    "schedule",
    "supervise",
    "sys",
    "telemetry",
    "trace",
    "worker",
];

/// Refuses what `tracing` can't read, and a misspelt level, which it would take for a target whose
/// every line is wanted.
pub(crate) fn check(text: &str) -> Result<(), String> {
    const MAX_BYTES: usize = 1024;
    let levels = LEVELS.join(", ");
    if text.trim().is_empty() || text.len() > MAX_BYTES {
        return Err(format!("write a level ({levels}) or target=level, at most {MAX_BYTES} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err("there is a control character in it".into());
    }
    for word in targets(text) {
        if let Some(near) = closest(&word.to_ascii_lowercase(), LEVELS.into_iter(), 0.5) {
            return Err(format!("{word:?} isn't a level; did you mean {near:?}?"));
        }
    }
    // A target and nothing of it is what `tracing` takes for all of it.
    let has_target = |part: &str| part.strip_suffix('=').is_some_and(|target| !target.is_empty());
    let lacks = |part: &&str| has_target(part) && !part.contains('[');
    if let Some(part) = text.split(',').map(str::trim).find(lacks) {
        return Err(format!("{part:?} has no level: write {part}debug, with one of {levels}"));
    }
    let why = |error| format!("{text:?} isn't a filter: {error}");
    EnvFilter::builder().parse(text).map(drop).map_err(why)
}

/// What may be meant and hardly ever is: words that are no level and no target of ours, which may be a library's, and
/// targets alone, beside which nothing is logged.
pub(crate) fn doubts(text: &str) -> impl Iterator<Item = String> {
    let silent = (!is_for_all(text)).then(|| {
        format!(
            "log.filter: {text:?} has no level for all else, so that nothing but those targets is logged, no \
             error either; write info,{text} if that isn't meant"
        )
    });
    let unknown = targets(text).filter(|word| *word != OURS).map(|word| {
        format!(
            "log.filter: {word:?} is no level ({}), and nothing of Legwork is called so: it lets \
             through the lines of a library of that name alone; write {word}=trace if that is meant",
            LEVELS.join(", ")
        )
    });
    unknown.chain(silent).chain(text.split(',').filter_map(misspelt))
}

/// A target that is like ours and lets none of our lines through. `tracing` takes a target for all that begin so.
fn misspelt(part: &str) -> Option<String> {
    // A word alone is doubted by itself.
    part.contains(['=', '[', ':']).then_some(())?;
    let target = part.trim().split(['=', '[']).next()?;
    let (crate_name, within) = target.split_once("::").unwrap_or((target, ""));
    let meant = if OURS.starts_with(crate_name) {
        let room = within.split("::").next()?;
        if ROOMS.iter().any(|known| known.starts_with(room)) {
            return None;
        }
        closest(room, ROOMS.into_iter(), 0.6).map(|near| format!("{OURS}::{near}"))
    } else {
        Some(closest(crate_name, iter::once(OURS), 0.7)?.to_owned())
    };
    let meant = meant.map(|meant| format!("; did you mean {meant:?}?")).unwrap_or_default();
    Some(format!("log.filter: nothing of Legwork is called {target:?}{meant}"))
}

/// That no line at all gets through, which is meant where it is configured, and may be overlooked where somebody asks for it.
pub(crate) fn silence(text: &str) -> Option<String> {
    let filter = EnvFilter::builder().parse(text).ok()?;
    let is_off = filter.max_level_hint() == Some(LevelFilter::OFF);
    is_off.then(|| {
        format!(
            "log.filter: {text:?} lets no line through, so that nothing is logged as long as it holds, no error either; write \
             error if that isn't meant"
        )
    })
}

/// Whether any of it is about every line of Legwork's.
pub(crate) fn is_for_all(text: &str) -> bool {
    text.split(',').map(str::trim).any(|part| {
        let target = part.split_once('=').map_or(part, |(target, _)| target);
        target == OURS || is_level(part)
    })
}

/// One of the words, or its number, as `tracing` takes them.
fn is_level(word: &str) -> bool {
    !word.is_empty() && word.parse::<LevelFilter>().is_ok()
}

/// Words that stand without a level and aren't one.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let bare = text.split(',').map(str::trim).filter(|part| !part.contains(['=', '[', ':']));
    bare.filter(|word| !word.is_empty() && !is_level(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::no_level("nonsense=", "\"nonsense=\" has no level: write nonsense=debug")]
    #[case::no_level_of_the_second("info, legwork::claimer=", "write legwork::claimer=debug")]
    #[case::no_target("=debug", "isn't a filter")]
    #[case::nothing_at_all("=", "isn't a filter")]
    #[case::another_level("legwork=loud", "isn't a filter")]
    #[case::misspelt("debgu", "did you mean \"debug\"?")]
    #[case::empty(" ", "write a level")]
    #[case::nul("info,a\0=debug", "a control character")]
    fn what_cannot_be_meant_is_refused(#[case] text: &str, #[case] said: &str) {
        let why = check(text).expect_err("it can't be meant");
        assert!(why.contains(said), "{why}");
    }

    #[rstest::rstest]
    #[case::a_span("[request]=debug")]
    #[case::a_field_of_a_span("info,legwork[job{id=1}]=debug")]
    fn what_tracing_has_besides_is_taken(#[case] text: &str) {
        assert_eq!(check(text), Ok(()));
    }

    #[rstest::rstest]
    #[case::off("off", true)]
    #[case::by_its_number("0", true)]
    #[case::ours_alone("legwork=off", true)]
    #[case::one_of_two("off,legwork=error", false)]
    #[case::errors("error", false)]
    fn what_lets_nothing_through_is_told(#[case] text: &str, #[case] is_told: bool) {
        assert_eq!(silence(text).is_some(), is_told);
    }

    #[rstest::rstest]
    #[case::no_level("ofcourse", 2)]
    #[case::beside_a_level("info,ofcourse", 1)]
    #[case::levels("INFO,legwork=trace,sqlx=off", 0)]
    #[case::a_level_s_number("3,sqlx=off", 0)]
    #[case::ours("legwork", 0)]
    #[case::a_target_with_its_level("info,ofcourse=trace", 0)]
    #[case::a_target_alone("ofcourse=trace", 1)]
    #[case::a_part_of_ours_alone("legwork::claimer=debug", 1)]
    #[case::a_misspelt_part_alone("legwork::clamier=debug", 2)]
    #[case::a_part_that_begins_so("info,legwork::claim=debug,legwork::admin::request=trace", 0)]
    #[case::misspelt_ours("info,legwrok=debug", 1)]
    #[case::misspelt_ours_without_a_level("info,legwrok", 1)]
    #[case::a_part_of_misspelt_ours("info,legwrok::claimer[job{id=1}]=debug", 1)]
    #[case::ours_with_its_level("legwork=debug,ofcourse=trace", 0)]
    #[case::a_span_alone("[request]=debug", 1)]
    fn a_word_that_is_no_level_is_doubted(#[case] text: &str, #[case] doubted: usize) {
        check(text).expect("it can be read");
        assert_eq!(doubts(text).count(), doubted);
    }

    #[rstest::rstest]
    #[case::the_root(
        "info,legwrok::claimer=debug",
        "\"legwrok::claimer\"; did you mean \"legwork\"?"
    )]
    #[case::a_room("info,legwork::clamier=debug", "did you mean \"legwork::claimer\"?")]
    #[case::like_nothing("info,legwork::qqq=debug", "is called \"legwork::qqq\"")]
    fn what_may_have_been_meant_is_said(#[case] text: &str, #[case] said: &str) {
        let doubts: Vec<_> = doubts(text).collect();
        assert!(doubts.len() == 1 && doubts[0].contains(said), "{doubts:?}");
    }

    #[test]
    fn the_rooms_are_those_that_there_are() {
        let files =
            std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).expect("it is there");
        let names =
            files.map(|file| file.expect("an entry").file_name().into_string().expect("a name"));
        let rooms = names.filter_map(|name| name.strip_suffix(".rs").map(str::to_owned));
        let without_lines = ["lib", "main", "seeded", "testing"];
        let mut rooms: Vec<_> =
            rooms.filter(|room| !without_lines.contains(&room.as_str())).collect();
        rooms.sort_unstable();
        assert_eq!(rooms, ROOMS);
    }
}
