//! `legwork profile heap --activate` and `--deactivate`: whether the daemon samples what it allocates.

use super::{
    super::{
        Context,
        port::{Question, Whom},
    },
    fetch::refused,
};
use serde::Serialize;
use std::{fmt::Write as _, time::Duration};

/// How long it may take: as long as a profile that is being written keeps everybody out.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// The longest answer that is read, in bytes; it is a line.
const ANSWER_MAX_BYTES: u64 = 64 * 1024;

/// What was done.
#[derive(Serialize)]
struct Switched {
    profile: &'static str,
    active: bool,
}

pub(super) async fn switch(active: bool, whom: &Whom, context: &Context) -> anyhow::Result<()> {
    let route = format!("/debug/pprof/heap/{}activate", if active { "" } else { "de" });
    let (endpoint, token) = whom.found(context)?;
    let question = Question {
        method: "POST",
        route: &route,
        token: token.as_deref(),
        body: "",
        within: ANSWER_TIMEOUT,
        most_bytes: ANSWER_MAX_BYTES,
    };
    let answer = endpoint.ask(&question).await?;
    if answer.status != 200 {
        return Err(refused(&route, &answer).into());
    }
    let switched = Switched { profile: "heap", active };
    context.output.show_done(&switched, |switched| told(switched.active, whom, context));
    Ok(())
}

fn told(active: bool, whom: &Whom, context: &Context) -> String {
    if !active {
        return "heap profiling is off: nothing is sampled, and what was is forgotten".into();
    }
    let whom = words(whom, context);
    format!(
        "heap profiling is active: let the daemon work for a while, then fetch what it holds with: \
         legwork profile heap{whom}\nlegwork profile heap --deactivate{whom} ends it"
    )
}

/// What names the same daemon in another command.
fn words(whom: &Whom, context: &Context) -> String {
    let mut words = String::new();
    if let Some(file) = &context.file {
        write!(words, " --config {}", file.display()).ok();
    }
    if let Some(url) = &whom.url {
        write!(words, " --url {}", url.url()).ok();
    }
    if let Some(file) = &whom.token_file {
        write!(words, " --token-file {}", file.display()).ok();
    }
    words
}
