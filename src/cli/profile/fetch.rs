//! Fetching a profile: asked for as whoever has the token, watched while it lasts, written, and opened.

use super::{
    super::{
        Context,
        exit::{Refused, Usage},
        output::say,
        port::{Answer, Question},
    },
    ProfileCommand, Wanted,
    place::{Done, Place},
    switch::switch,
};
use crate::profile::pprof;
use anyhow::bail;
use serde::Deserialize;
use std::{
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How much longer than the profile itself the beginning of its answer may take: names are looked up.
const ANSWER_MARGIN: Duration = Duration::from_mins(1);
/// How a packed file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The longest answer that is read, in bytes: an execution trace of a busy daemon.
const ANSWER_MAX_BYTES: u64 = 256 * 1024 * 1024;

pub(in crate::cli) async fn run(command: &ProfileCommand, context: &Context) -> anyhow::Result<()> {
    if let Some(active) = command.switches() {
        return switch(active, command.whom(), context).await;
    }
    let (endpoint, token) = command.whom().found(context)?;
    let wanted = command.wanted(&endpoint.authority, context.output.for_programs());
    if wanted.open && matches!(wanted.place, Place::Stdout) {
        return Err(Usage("--open opens a file, and standard output is none".into()).into());
    }
    wanted.place.check()?;
    let question = Question {
        method: "GET",
        route: &wanted.route,
        token: token.as_deref(),
        body: "",
        within: Duration::from_secs(wanted.seconds) + ANSWER_MARGIN,
        most_bytes: ANSWER_MAX_BYTES,
    };
    let asked = endpoint.fetch(&question);
    let answer = match wanted.seconds {
        0 => asked.await?,
        seconds => watched(asked, wanted.what, &endpoint.authority, seconds).await?,
    };
    if answer.status != 200 {
        return Err(refused(&wanted.route, &answer).into());
    }
    if wanted.format == "pprof" && !answer.body.starts_with(&GZIP) {
        bail!(
            "what answers at {} isn't a daemon's admin port: it sent no profile",
            endpoint.authority
        );
    }
    // A trace comes in pieces, of which nothing announces how many there are.
    let lost = if wanted.what == "trace" { lost(&answer.body)? } else { None };
    let file = wanted.place.write(&answer.body)?;
    let Wanted { what, format, .. } = wanted;
    if let Some(file) = &file {
        let done = Done { profile: what, format, file, bytes: answer.body.len() };
        context.output.show_done(&done, Done::text);
    }
    if let Some(lost) = lost {
        say(&lost);
    }
    if what == "cpu" && is_empty(format, &answer.body) {
        say(
            "warning: the profile is empty: no thread used as much CPU time as a sample is taken after; take it for longer",
        );
    }
    if let Some(file) = file.filter(|_| wanted.open) {
        open(&file);
    }
    Ok(())
}

/// Whether there is no sample in a profile, where its form doesn't say so itself, as a flamegraph does.
fn is_empty(format: &str, profile: &[u8]) -> bool {
    match format {
        "folded" => profile.is_empty(),
        "pprof" => pprof::is_empty(profile),
        "speedscope" => {
            let file = serde_json::from_slice::<Speedscope>(profile);
            file.is_ok_and(|file| file.profiles.is_empty())
        }
        _ => false,
    }
}

/// Of speedscope's file: a profile for each thread that has samples.
#[derive(Deserialize)]
struct Speedscope {
    profiles: Vec<serde::de::IgnoredAny>,
}

/// What a trace of a busy daemon hasn't, where it is one.
fn lost(trace: &[u8]) -> anyhow::Result<Option<String>> {
    let Ok(Head { about }) = serde_json::from_slice(trace) else {
        bail!("the trace was cut short: the daemon ended, or was too busy to write it");
    };
    let warning = || {
        let OtherData { lost_events, lost_from_ms, duration_ms } = about;
        format!(
            "warning: the trace shows the first {lost_from_ms:.0} ms of {duration_ms}: it was full then, and {lost_events} events are lost"
        )
    };
    Ok((about.lost_events > 0).then(warning))
}

/// What a trace says of itself.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "otherData")]
    about: OtherData,
}

#[derive(Clone, Copy, Deserialize)]
struct OtherData {
    lost_events: u64,
    #[serde(default)]
    lost_from_ms: f64,
    duration_ms: u64,
}

/// Shows whoever sits there how far it is; a log gets one line.
async fn watched(
    asked: impl Future<Output = anyhow::Result<Answer>>,
    what: &str,
    authority: &str,
    seconds: u64,
) -> anyhow::Result<Answer> {
    let is_watched = io::stderr().is_terminal();
    if !is_watched {
        say(&format!("{what} of {authority}, {seconds} s"));
    }
    let began = Instant::now();
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    tokio::pin!(asked);
    let answer = loop {
        tokio::select! {
            answer = &mut asked => break answer,
            _ = tick.tick(), if is_watched => {
                let passed = began.elapsed().as_secs().min(seconds);
                write!(io::stderr(), "\r{what} of {authority}: {passed} of {seconds} s").ok();
            }
        }
    };
    if is_watched {
        write!(io::stderr(), "\r\x1b[K").ok();
    }
    answer
}

/// What the daemon said instead; a problem's detail where it is one.
pub(super) fn refused(route: &str, answer: &Answer) -> Refused {
    let problem: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
    let said = detail.map_or_else(|| answer.text().trim().to_owned(), str::to_owned);
    Refused { route: route.to_owned(), status: answer.status, said }
}

/// It is written by then: where there is no desktop, that is said and no failure.
fn open(file: &Path) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(program);
    command.arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => say(&format!("warning: {program} couldn't open it ({status})")),
        Err(error) => say(&format!("warning: {program} couldn't be started ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn a_trace_that_was_full_before_its_end_says_so() {
        let trace = |about: &str| format!(r#"{{"otherData":{{{about}}},"traceEvents":[ {{}} ]}}"#);
        let whole = trace(r#""duration_ms":5000,"lost_events":0,"version":"1""#);
        assert_eq!(lost(whole.as_bytes()).expect("it is whole"), None);
        let full = trace(r#""duration_ms":5000,"lost_events":71,"lost_from_ms":812.375"#);
        let told = lost(full.as_bytes()).expect("it is whole").expect("it was full");
        assert!(told.contains("the first 812 ms of 5000") && told.contains("71 events"), "{told}");
        let cut = lost(&full.as_bytes()[..full.len() - 2]).expect_err("its end is missing");
        assert!(cut.to_string().contains("cut short"), "{cut}");
    }

    #[rstest]
    #[case::problem(br#"{"type": "x", "detail": "one runs"}"#, "one runs")]
    #[case::text(b"one runs\n", "one runs")]
    #[case::nothing(b"", "")]
    fn a_refusal_is_told_in_the_daemons_words(#[case] body: &[u8], #[case] said: &str) {
        let answer = Answer { status: 409, body: body.to_owned(), is_cut_short: false };
        assert_eq!(refused("/x", &answer).said, said);
    }
}
