//! What is done to the daemon that answers is noted, as far as the database takes it.

use super::super::{controls::Reloaded, routes::AdminState};
use crate::{
    heartbeat::Leases,
    postgres::operations::{self, Asker},
    supervise::{ExitPolicy, WaitPoint, at},
    telemetry::events,
};
use futures::FutureExt;
use serde_json::{Value as Json, json};
use std::time::Duration;
use tokio::{
    sync::oneshot::{self, error::RecvError},
    time::timeout,
};

/// How long a note may take: what is done to a daemon mustn't wait for a database that is away.
const NOTED_WITHIN: Duration = Duration::from_secs(1);
/// Reloads whose outcome is waited for at once: while a daemon waits for its database there is none for any.
const RELOADS_MAX: usize = 8;
/// Keys that a note of a reload names.
const KEYS_NOTED: usize = 100;

/// Notes what is done to this process; a line in the log says where the database doesn't take it.
pub(super) async fn noted(
    state: &AdminState,
    action: &'static str,
    mut detail: Json,
    asker: Asker,
) {
    detail["name"] = json!(state.controls.name);
    let target = target(state);
    let noting = state.sessions.within(move |c| {
        async move { operations::note(c, action, &target, &detail, &asker).await }.boxed()
    });
    if !matches!(timeout(NOTED_WITHIN, noting).await, Ok(Ok(()))) {
        tracing::warn!(
            event = events::AUDIT_MISSED,
            action,
            "what was asked of the daemon isn't noted in the database"
        );
    }
}

/// The daemon by its id, as where it is told by the database; by its name as long as it has none.
fn target(state: &AdminState) -> String {
    match state.leases.get().and_then(Leases::now) {
        Some(id) => format!("daemon/{id}"),
        None => format!("daemon/{}", state.controls.name),
    }
}

/// Whether no more may wait for what comes of a reload; they wait on when their clients have left.
pub(super) fn reloads_are_many(state: &AdminState) -> bool {
    let tasks = state.supervisor.tasks();
    tasks.iter().filter(|task| task.name() == "reload").count() >= RELOADS_MAX
}

/// Waits for what comes of a reload, and notes it before anybody hears of it, whether or not anybody does: a client may
/// be gone by then, and what it asked for is done all the same.
pub(super) async fn reload_noted(
    state: &AdminState,
    told: oneshot::Receiver<Reloaded>,
    asker: Asker,
) -> Result<Reloaded, RecvError> {
    let (teller, outcome) = oneshot::channel();
    let mut waiting = Some((told, teller, asker));
    // It ends by itself once there is no more to wait for.
    let leave = state.supervisor.leave();
    let (supervisor, state) = (state.supervisor.until(leave.clone()), state.clone());
    supervisor.spawn("reload", ExitPolicy::Log, move || {
        let (waiting, state, leave) = (waiting.take(), state.clone(), leave.clone());
        async move {
            if let Some((told, teller, asker)) = waiting {
                let reloaded = at(WaitPoint::Reload, told).await;
                noted(&state, "reload", detail(reloaded.as_ref().ok()), asker).await;
                if let Ok(reloaded) = reloaded {
                    // Who asked may have gone.
                    teller.send(reloaded).ok();
                }
            }
            leave.cancel();
        }
    });
    outcome.await
}

/// What is noted of a reload; without an outcome the daemon has ended before there was one.
fn detail(reloaded: Option<&Reloaded>) -> Json {
    let Some(reloaded) = reloaded else {
        return json!({ "reloaded": false, "changed": [], "cut_short": true });
    };
    let changed: Vec<_> = reloaded.changed.iter().take(KEYS_NOTED).collect();
    json!({ "reloaded": reloaded.reloaded, "changed": changed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_that_was_cut_short_is_noted_as_that_and_another_by_what_it_changed() {
        let expected = json!({ "reloaded": false, "changed": [], "cut_short": true });
        assert_eq!(detail(None), expected);
        let changed = vec!["a.key".to_owned(); KEYS_NOTED + 1];
        let noted = detail(Some(&Reloaded { reloaded: true, changed, ..Reloaded::default() }));
        assert_eq!(noted["changed"].as_array().map(Vec::len), Some(KEYS_NOTED));
        assert_eq!((&noted["reloaded"], &noted["cut_short"]), (&json!(true), &Json::Null));
    }
}
