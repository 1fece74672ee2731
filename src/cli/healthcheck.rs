//! `legwork healthcheck`: asks a daemon's health route, for images without a shell or curl.

use super::{
    Context,
    exit::NotReady,
    port::{Endpoint, EndpointParser, Question},
};
use clap::Args;
use serde::Serialize;
use std::time::Duration;

/// How long the daemon may take from connect to the last byte. A container's own health check
/// usually allows 30 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer that is read, in bytes; a health answer is a few lines.
const ANSWER_MAX_BYTES: u64 = 64 * 1024;

/// `legwork healthcheck`
#[derive(Debug, Args)]
pub(super) struct HealthcheckArguments {
    /// Ask whether it takes work (/health/ready), not only whether it lives (/health/live)
    #[arg(long)]
    ready: bool,
    /// Its admin port [default: where `run` listens by the same configuration]
    #[arg(long, value_name = "URL", value_parser = EndpointParser)]
    url: Option<Endpoint>,
}

impl HealthcheckArguments {
    /// Whether it has to look up where to ask.
    pub(super) fn reads_configuration(&self) -> bool {
        self.url.is_none()
    }
}

/// What the daemon said.
#[derive(Serialize)]
struct Said {
    route: &'static str,
    status: u16,
    body: String,
}

pub(super) async fn run(arguments: &HealthcheckArguments, context: &Context) -> anyhow::Result<()> {
    let route = if arguments.ready { "/health/ready" } else { "/health/live" };
    let endpoint = Endpoint::of(arguments.url.as_ref(), context)?;
    // Everybody may ask; a token that is given is sent, as for any other route.
    let token = endpoint.token(None)?;
    let question = Question {
        method: "GET",
        route,
        token: token.as_deref(),
        body: "",
        within: ANSWER_TIMEOUT,
        most_bytes: ANSWER_MAX_BYTES,
    };
    let answer = endpoint.ask(&question).await?;
    let (line, is_page) = (answer.line(), answer.is_page());
    let said = Said { route, status: answer.status, body: answer.text() };
    let text = |said: &Said| super::output::plain_lines(said.body.trim_end());
    match answer.status {
        // How the daemon is is what the exit code tells, whoever reads the answer.
        200..=299 => context.output.show(&said, text),
        // A daemon that isn't well says why. Any other answer is somebody else's, which people are shown a line of.
        status if status == 503 && !is_page || context.output.for_programs() => {
            context.output.show(&said, text).ok();
            Err(NotReady::status(route, status).into())
        }
        status => Err(NotReady::strange(route, status, &line).into()),
    }
}
