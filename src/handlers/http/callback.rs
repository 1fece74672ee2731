//! A receiver that takes the job by 202 and says later what becomes of it.
//!
//! It may call before its answer is here. What it says in a call counts from then on, whatever the answer is;
//! an answer that decides counts if nobody has called before it.

use super::{Http, answer::Answer, circuit::Ticket, failure::Failure};
use crate::{
    config::CallbackSettings,
    executor::{Context, Decision, Door},
    job::{JobError, Outcome},
    supervise::{WaitPoint, at},
};
use std::{
    future::Future,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::time::timeout;

/// How long a call waits for the answer to the request, which is usually on its way: a request that is left
/// costs its connection.
const EARLY: Duration = Duration::from_millis(250);

/// What came first.
enum First {
    Answered(Result<Answer, Failure>),
    Called(Decision),
}

impl Http {
    pub(super) async fn attempt_with(
        &self,
        callback: &CallbackSettings,
        context: &Context,
        ticket: Ticket,
    ) -> Outcome {
        let mut door = self.callbacks.open(context, self.settings.max_result);
        let url = callback.url(&self.callbacks.token(context.job().lease));
        let is_called = AtomicBool::new(false);
        let request = self.request(context, ticket, Some(url), &is_called);
        match answered_or_called(request, &mut door, &is_called).await {
            First::Called(decision) => decided(decision),
            First::Answered(Ok(answer)) if answer.is_later() => {
                called_back(&mut door, callback.timeout).await
            }
            First::Answered(answer) => match door.heard() {
                Some(decision) => decided(decision),
                None => self.outcome(answer),
            },
        }
    }
}

/// Waits for a verdict; the attempt's own time is watched by whoever runs it.
async fn called_back(door: &mut Door, silence: Option<Duration>) -> Outcome {
    loop {
        let word = async {
            match silence {
                Some(limit) => timeout(limit, door.hear()).await.map_err(|_| limit),
                None => Ok(door.hear().await),
            }
        };
        match at(WaitPoint::HttpCallback, word).await {
            Ok(Some(decision)) => return decided(decision),
            Ok(None) => {}
            Err(limit) => {
                let error = JobError::new(format!("the receiver didn't call for {limit:?}"));
                return Outcome::Retry { error, after: None };
            }
        }
    }
}

fn decided(Decision { action, result, error, after }: Decision) -> Outcome {
    action.outcome(result, error, after)
}

async fn answered_or_called(
    request: impl Future<Output = Result<Answer, Failure>>,
    door: &mut Door,
    is_called: &AtomicBool,
) -> First {
    let mut request = pin!(request);
    loop {
        tokio::select! {
            biased;
            answer = &mut request => return First::Answered(answer),
            () = door.called() => {}
        }
        if let Ok(answer) = timeout(EARLY, &mut request).await {
            return First::Answered(answer);
        }
        if let Some(decision) = door.heard() {
            // The request is left, and its receiver is nevertheless well.
            is_called.store(true, Ordering::Relaxed);
            return First::Called(decision);
        }
    }
}
