//! `legwork config reload`: has a running daemon read its configuration again, as HUP does, and says what came of it.

use super::super::{
    Context,
    output::{plain, say},
    place::Port,
    port::Whom,
    reason,
};
use crate::config::Mistakes;
use clap::Args;

/// `legwork config reload`
#[derive(Debug, Args)]
pub(in crate::cli) struct ReloadArguments {
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    #[command(flatten)]
    pub(super) whom: Whom,
}

pub(super) async fn run(arguments: &ReloadArguments, context: &Context) -> anyhow::Result<()> {
    let port = Port::of(&arguments.whom, context)?;
    let reloaded = port.reload(arguments.reason.as_ref()).await?;
    for warning in &reloaded.warnings {
        say(&format!("warning: {}", plain(warning)));
    }
    if !reloaded.holds {
        say("nothing has changed: the daemon can't take what it read");
        let mut mistakes = Mistakes::default();
        for wrong in reloaded.mistakes {
            mistakes.push(wrong.message, wrong.place.as_deref());
        }
        return Err(mistakes.into());
    }
    context.output.show_done(&reloaded, |reloaded| {
        let lines = |head: &str, keys: &[String]| {
            let keys: Vec<_> = keys.iter().map(|key| plain(key)).collect();
            if keys.is_empty() {
                String::new()
            } else {
                format!("\n{head}:\n  {}", keys.join("\n  "))
            }
        };
        let holds = lines("holds from now on", &reloaded.changed);
        let waits = lines("holds with the next start", &reloaded.needs_restart);
        let same = if holds.is_empty() { "; what holds is as it was" } else { "" };
        format!("the configuration was read again{same}{holds}{waits}")
    });
    Ok(())
}
