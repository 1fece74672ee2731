//! Shutdown: a daemon that is told to stop is gone within its bound, and none ends by itself.
//!
//! The exit code is 0, or 1 where it left something to be rescued; whether it was right to say 0 is
//! for the duplicates to tell. A daemon that had to be killed while it stopped didn't stop.

use super::harm::{Exit, NEVER, Process};
use super::view::View;
use super::{Rule, Violation};

pub(super) fn violations(view: &View<'_>) -> Vec<Violation> {
    let unruly = view.processes.iter().filter_map(|process| unruly(view, process));
    unruly.chain(survivors(view)).collect()
}

/// Handlers that wrote a line after their daemon was seen to have ended.
fn survivors<'v>(view: &'v View<'_>) -> impl Iterator<Item = Violation> + 'v {
    let runs = view.lives.values().flat_map(|life| life.runs.iter().map(move |run| (life, run)));
    runs.filter_map(|(life, run)| {
        let gone = view.process(run)?.exit?.line;
        let last = run.end.map_or(run.start, |(line, _)| line);
        (last > gone).then(|| {
            let says = "its handler was at work after the daemon had ended";
            life.breaks(Rule::Shutdown, says).run(view, run).events(view, [gone])
        })
    })
}

fn unruly(view: &View<'_>, process: &Process<'_>) -> Option<Violation> {
    let told = process.sigterm.filter(|told| process.sigkill.is_none_or(|killed| killed > *told));
    let says = match (told, process.sigkill, process.exit) {
        (Some(_), Some(_), _) => "it had to be killed while it stopped".to_owned(),
        (Some(_), None, None) => "it was told to stop and never ended".to_owned(),
        (Some(_), None, Some(exit)) => badly_stopped(exit)?,
        (None, None, Some(_)) => "it ended, and nobody had told it to".to_owned(),
        (None, None, None) if process.until != NEVER => {
            "it was started again, and nobody saw its end".to_owned()
        }
        (None, Some(_), _) | (None, None, None) => return None,
    };
    let about = process.daemon.to_owned();
    let violation = Violation { rule: Rule::Shutdown, about, says, evidence: Vec::new() };
    let exit = process.exit.map(|exit| exit.line);
    let lines = [Some(process.from), process.sigterm, process.sigkill, exit];
    Some(violation.events(view, lines.into_iter().flatten()))
}

fn badly_stopped(exit: Exit) -> Option<String> {
    let Exit { took_ms, bound_ms, .. } = exit;
    if took_ms > bound_ms {
        return Some(format!("it took {took_ms} ms to stop, and may take {bound_ms} ms"));
    }
    match exit.code {
        Some(0 | 1) => None,
        Some(code) => Some(format!("it stopped with exit code {code}")),
        None => Some("it was told to stop and died of a signal".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::story::Story;
    use super::*;
    use crate::chaos::history::Outcome;

    #[rstest]
    #[case::too_slow(
        "it took 4001 ms to stop",Story::plain().told_to_stop("d1").exits_in("d1", Some(0), 4001, 4000))]
    #[case::too_slow_though_it_said_so(
        "it took 4001 ms to stop",
        Story::plain().told_to_stop("d1").exits_in("d1", Some(1), 4001, 4000)
    )]
    #[case::never(
        "told to stop and never ended",Story::plain().told_to_stop("d1"))]
    #[case::never_and_started_again(
        "told to stop and never ended",Story::plain().told_to_stop("d1").started_again("d1"))]
    #[case::killed_while_it_stopped(
        "had to be killed while it stopped",
        Story::plain().told_to_stop("d1").killed("d1")
    )]
    #[case::an_exit_code_of_no_stop(
        "stopped with exit code 3",Story::plain().told_to_stop("d1").exits("d1", Some(3)))]
    #[case::died_of_a_signal(
        "told to stop and died of a signal",Story::plain().told_to_stop("d1").exits("d1", None))]
    #[case::ended_by_itself(
        "nobody had told it to",Story::plain().exits("d1", Some(0)))]
    #[case::ended_by_itself_in_its_second_life(
        "nobody had told it to",
        Story::plain().told_to_stop("d1").exits("d1", Some(0)).started_again("d1")
            .exits("d1", Some(1))
    )]
    #[case::a_handler_that_outlived_it(
        "at work after the daemon had ended",
        Story::plain().runs("u1", "d1").killed("d1").says("u1", Outcome::Ok)
    )]
    #[case::a_handler_that_started_after_it(
        "at work after the daemon had ended",
        Story::plain().claimed("u1", "d1").killed("d1").starts("u1")
    )]
    #[case::gone_without_an_end(
        "nobody saw its end",Story::plain().started_again("d1"))]
    fn a_daemon_that_does_not_stop_as_it_should_is_found(#[case] says: &str, #[case] story: Story) {
        story.breaks(Rule::Shutdown, says);
    }

    #[rstest]
    #[case::in_time(Story::plain().told_to_stop("d1").exits_in("d1", Some(0), 4000, 4000))]
    #[case::with_leases_left(Story::plain().told_to_stop("d1").exits("d1", Some(1)))]
    #[case::killed(Story::plain().killed("d1").started_again("d1"))]
    #[case::still_there(Story::plain())]
    fn a_daemon_that_stops_in_time_is_left_alone(#[case] story: Story) {
        story.does("u1", "d2", Outcome::Ok).drained().keeps_every_rule();
    }
}
