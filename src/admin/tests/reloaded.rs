//! A reload that somebody asks for: how long it is waited for, and that what comes of it is heard of whoever waits still.

use super::{super::controls::Reloaded, *};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request},
};
use routes::router;
use std::sync::{Mutex, PoisonError};
use tokio::{sync::oneshot, task::yield_now};
use tower::ServiceExt;

/// A port whose daemon says when its reload is done; and who tells it.
struct Asked {
    state: AdminState,
    port: Router,
    tellers: Arc<Mutex<Vec<oneshot::Sender<Reloaded>>>>,
}

impl Asked {
    fn new() -> Self {
        let tellers: Arc<Mutex<Vec<_>>> = Arc::default();
        let mut controls = of_a_file();
        let told = Arc::clone(&tellers);
        if let Some(of_file) = &mut controls.configuration {
            of_file.reload = Arc::new(move || {
                let (teller, outcome) = oneshot::channel();
                told.lock().unwrap_or_else(PoisonError::into_inner).push(teller);
                outcome
            });
        }
        let state = AdminState { controls, ..state() };
        Self { port: router(state.clone()), state, tellers }
    }

    /// Asks, and gives status and body.
    async fn answer(&self) -> (u16, String) {
        let request = Request::post("/api/v1/config/reload");
        let request =
            request.header("Host", "localhost").header("Content-Type", "application/json");
        let mut request = request.body(Body::from("{}")).unwrap();
        let peer = SocketAddr::from(([127, 0, 0, 1], 4000));
        request.extensions_mut().insert(ConnectInfo(peer));
        let response = self.port.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    fn teller(&self) -> oneshot::Sender<Reloaded> {
        self.tellers.lock().unwrap_or_else(PoisonError::into_inner).remove(0)
    }

    /// Who still waits to note what comes of it.
    fn waits(&self) -> usize {
        self.state.supervisor.tasks().iter().filter(|task| task.name() == "reload").count()
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_takes_longer_than_it_is_waited_for_goes_on_and_is_noted() {
    let asked = Asked::new();
    let begun = Instant::now();
    let (status, body) = asked.answer().await;
    assert_eq!((status, begun.elapsed().as_secs()), (503, 60), "{body}");
    assert!(body.contains("not-reloaded") && body.contains("audit"), "{body}");
    assert_eq!(asked.waits(), 1, "somebody waits still");
    asked.teller().send(Reloaded::default()).expect("somebody hears it");
    assert!(asked.state.supervisor.ended("reload", Instant::now() + PATIENCE).await, "it is noted");
}

#[tokio::test(start_paused = true)]
async fn a_reload_whose_client_goes_away_is_heard_of() {
    let asked = Asked::new();
    let gone = timeout(Duration::from_secs(1), asked.answer()).await;
    assert!(gone.is_err() && asked.waits() == 1);
    asked.teller().send(Reloaded::default()).expect("somebody hears it");
    assert!(asked.state.supervisor.ended("reload", Instant::now() + PATIENCE).await, "it is noted");
}

#[tokio::test(start_paused = true)]
async fn few_wait_for_a_reload_at_once_whether_or_not_their_clients_do() {
    let asked = Asked::new();
    for _ in 0..8 {
        assert!(timeout(Duration::from_secs(1), asked.answer()).await.is_err());
    }
    let (status, body) = asked.answer().await;
    assert_eq!((status, asked.waits()), (503, 8), "{body}");
    assert!(body.contains("others wait"), "{body}");
    for _ in 0..8 {
        asked.teller().send(Reloaded::default()).expect("somebody hears it");
    }
    assert!(asked.state.supervisor.ended("reload", Instant::now() + PATIENCE).await, "all noted");
    let next = timeout(Duration::from_secs(1), asked.answer());
    assert!(next.await.is_err() && asked.waits() == 1, "there is room again");
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_the_end_cuts_short_is_told_to_whoever_asked() {
    let asked = Asked::new();
    let ends = async {
        while asked.waits() == 0 {
            yield_now().await;
        }
        drop(asked.teller());
    };
    let ((status, body), ()) = tokio::join!(asked.answer(), ends);
    assert_eq!((status, body.contains("daemon-ends")), (503, true), "{body}");
    assert_eq!(asked.waits(), 0, "it was noted before");
}
