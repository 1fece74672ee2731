//! Puts the rooms together: who talks to whom, and which task each is.

mod drained;
mod export;
mod functions;
mod lanes;
mod reload;
mod steps;
mod told;
mod upkeep;

use super::{
    Daemon, Signals, StartError,
    lanes::{Lane, lanes, load},
    reload::obey,
    shutdown,
};
use crate::{
    admin::{self, Access, AdminState, Bound, Controls, Hosts},
    claimer::{Bell, ClaimerShared, Hints, Lookout},
    completer::{self, Completer, Verdicts, verdict_channel},
    config::{Overrides, Settings},
    executor::{Callbacks, Registry},
    handlers,
    heartbeat::{self, LeaseTimes, Leases, Reports},
    maintenance::{Doorbell, Stats},
    postgres::{
        Connector, Functions, Held, Identity, PostgresClaims, PostgresLease, PostgresOutcomes,
        Upkeep,
        operations::{IDLE_MAX, Sessions},
    },
    supervise::{self, ExitPolicy, Supervisor, WaitPoint, at},
    sys::sampler,
    telemetry::{
        events,
        feed::Occurrence,
        health::{Health, Phase},
        metrics::Metrics,
        spans::{self, Exporter, Tracer},
    },
    worker,
};
use lanes::{Lanes, Links};
use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicI64},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::{runtime::Handle, sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;
use told::Told;

/// Running jobs that are listed, those that have run for longest: far below what the log's channel
/// holds, so that a list doesn't cost other lines.
const LISTED_MAX: usize = 500;

/// Everything that runs, with the handles by which it is ended.
pub(super) struct Running {
    pub(super) supervisor: Supervisor,
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<Metrics>,
    /// Ends claiming and maintenance.
    pub(super) stop_claiming: CancellationToken,
    /// Ends claiming alone; cancelled with the former.
    pub(super) quiet: CancellationToken,
    /// Ends waiting in dispatchers.
    pub(super) stop_dispatching: CancellationToken,
    pub(super) stop_cancelling: CancellationToken,
    pub(super) stop_heartbeat: CancellationToken,
    /// Whether the heartbeat ends the daemon's row when it stops.
    pub(super) retire_at_end: Arc<AtomicBool>,
    pub(super) stop_admin: CancellationToken,
    pub(super) stop_exporter: CancellationToken,
    pub(super) completer_gives_up: CancellationToken,
    pub(super) attempts: Arc<worker::Running>,
    lanes: Arc<Mutex<Lanes>>,
    told: Told,
    /// What operators had decided at the start.
    began_with: Overrides,
    /// What was claimed and isn't written down yet.
    pub(super) held: Arc<Held>,
    pub(super) heartbeat: Option<JoinHandle<()>>,
    /// Attempts that are called back.
    callbacks: Arc<Callbacks>,
    /// Who this daemon is for the database, for notes of what is done to it.
    registered: Arc<OnceLock<Leases>>,
    /// What makes spans, where they go anywhere.
    tracer: Option<Arc<Tracer>>,
    /// What sends them.
    exporter: Option<Arc<Exporter>>,
    upkeep: Option<Arc<Upkeep>>,
    /// What calls functions of the database.
    functions: Option<Arc<Functions>>,
    /// Notified when queues are no longer served.
    left: Notify,
    /// Whether wake-ups arrive.
    hints: Arc<Hints>,
}

impl Running {
    /// Opens the admin port, and what sends the spans of who asks it; nothing else runs yet.
    pub(super) fn new(
        supervisor: &Supervisor,
        (health, metrics, callbacks): (&Arc<Health>, &Arc<Metrics>, &Arc<Callbacks>),
        settings: &Settings,
        admin: Option<(Bound, Controls)>,
    ) -> Self {
        let stop_claiming = CancellationToken::new();
        let mut running = Self {
            supervisor: supervisor.clone(),
            health: Arc::clone(health),
            metrics: Arc::clone(metrics),
            quiet: stop_claiming.child_token(),
            stop_claiming,
            stop_dispatching: CancellationToken::new(),
            stop_cancelling: CancellationToken::new(),
            stop_heartbeat: CancellationToken::new(),
            retire_at_end: Arc::new(AtomicBool::new(true)),
            stop_admin: CancellationToken::new(),
            stop_exporter: CancellationToken::new(),
            callbacks: Arc::clone(callbacks),
            registered: Arc::default(),
            tracer: None,
            exporter: None,
            completer_gives_up: CancellationToken::new(),
            attempts: Arc::default(),
            lanes: Arc::default(),
            told: Told::default(),
            began_with: Overrides::default(),
            held: Arc::default(),
            heartbeat: None,
            upkeep: None,
            functions: None,
            left: Notify::new(),
            hints: Arc::default(),
        };
        running.start_exporter(settings);
        if let Some((bound, controls)) = admin {
            // Before anything can be asked.
            running.told.configure(settings);
            let state = AdminState {
                health: Arc::clone(health),
                metrics: Arc::clone(metrics),
                hosts: Hosts::named(&settings.admin.allow_hosts),
                access: Access::by(running.told.tokens.subscribe()),
                sessions: Arc::new(Sessions::new(settings.database.clone(), IDLE_MAX)),
                configured: running.told.configured.subscribe(),
                bulk: Arc::clone(&running.told.bulk),
                supervisor: supervisor.clone(),
                attempts: Arc::clone(&running.attempts),
                controls,
                callbacks: Arc::clone(callbacks),
                leases: Arc::clone(&running.registered),
                tracer: running.tracer.clone(),
            };
            let mut bound = Some(bound);
            let stop = running.stop_admin.clone();
            // A listener can't be bound twice, so the port is not started again: it fails loudly.
            let limit = steps::OF_MEMORY;
            supervisor.spawn_watched("admin", ExitPolicy::Shutdown, limit, move || {
                let (bound, state, stop) = (bound.take(), state.clone(), stop.clone());
                async move {
                    if let Some(bound) = bound {
                        at(WaitPoint::AdminAccept, admin::serve(bound, state, stop)).await;
                    }
                }
            });
        }
        running
    }

    /// Starts every room, the last stage first, so that each finds its receiver; `false` where the daemon was told to end
    /// before all lanes were open. Nothing more is begun then.
    pub(super) async fn start(
        &mut self,
        (daemon, registry): (&Daemon, Registry),
        connector: &Connector,
        stats: Stats,
        (overrides, signals): (Overrides, &Signals),
    ) -> Result<bool, StartError> {
        let settings = &daemon.settings;
        let bell = Bell::default();
        let upkeep = Arc::new(Upkeep::new(connector.clone()));
        self.upkeep = Some(Arc::clone(&upkeep));
        let functions = self.start_functions(daemon, connector);
        let registry = handlers::with_functions(registry, &settings.kinds, &functions);
        self.functions = Some(functions);
        let horizon = Arc::new(AtomicI64::new(0));
        // What was decided holds before anything is claimed.
        let lanes = lanes(&settings.with_overrides(&overrides));
        self.told.overrides.send_replace(overrides.clone());
        self.began_with = overrides;
        let queues = lanes.iter().map(Lane::load).collect();
        let kept = settings.queues.iter().map(|q| (q.name.clone(), q.retention)).collect();
        self.told.tell(settings, load(queues, settings, self.quiet.clone()), kept);
        let leases = self.start_heartbeat(daemon, connector)?;
        let outcomes = PostgresOutcomes::new(connector.clone(), Arc::clone(&self.held));
        let limit = steps::of_statements(connector);
        let verdicts = self.start_completer(settings, (outcomes, limit), &bell, &leases);
        let shared = ClaimerShared {
            source: Arc::new(PostgresClaims::new(connector.clone(), Arc::clone(&self.held))),
            settings: settings.claim.clone(),
            leases: leases.clone(),
            horizon: Arc::clone(&horizon),
            halt: self.quiet.clone(),
            stop: self.stop_claiming.clone(),
            hints: Arc::clone(&self.hints),
            metrics: Arc::clone(&self.metrics),
            check: self.health.check("claimers"),
            tracer: self.tracer.clone(),
        };
        let lookout = Arc::new(Lookout::new(shared.clone()));
        let links = Links {
            claiming: shared.clone(),
            limit,
            lookout: Arc::clone(&lookout),
            bell: bell.clone(),
            verdicts,
            grace_without_lease: LeaseTimes::new(&settings.daemon).margin(),
        };
        if !self.open_lanes(lanes, (links, registry), (settings, signals)).await {
            return Ok(false);
        }
        self.start_lookout(lookout, limit);
        let listens = settings.claim.notify && connector.reaches_server();
        let hints = listens.then(|| Arc::clone(&self.hints));
        let doorbell = Doorbell::new(Arc::clone(&upkeep), horizon, hints);
        self.start_maintenance(settings, connector, (&upkeep, &bell), (leases.clone(), doorbell));
        self.start_controller((settings, connector), (&upkeep, &leases), (&bell, obey(signals)));
        // Who ends once nothing is left to do begins nothing anew.
        if !daemon.once {
            self.start_scheduler(connector, (&upkeep, &leases));
            self.start_canary((settings, connector), (&upkeep, &leases));
            self.start_bulk(connector, (&upkeep, &leases));
        }
        let (up, stats, serving) = (Arc::clone(&upkeep), Arc::new(stats), self.serving());
        let (limit, controller) = (steps::of_survey(connector), Arc::clone(&self.told.controller));
        self.round(("stats", limit), self.stop_claiming.clone(), move || {
            let (up, stats, served) =
                (Arc::clone(&up), Arc::clone(&stats), lanes::served(&serving));
            let controller = Arc::clone(&controller);
            async move { stats.round(&up, served, &controller).await }
        });
        if listens {
            self.start_listener(connector, &upkeep, &bell, &shared.leases);
        }
        self.start_metrics();
        Ok(true)
    }

    /// Measures how late the event loop comes to a timer.
    fn start_metrics(&self) {
        let (metrics, stop) = (Arc::clone(&self.metrics), self.stop_heartbeat.clone());
        let limit = steps::OF_MEMORY;
        self.supervisor.spawn_watched("metrics", ExitPolicy::Restart, limit, move || {
            let (metrics, stop) = (Arc::clone(&metrics), stop.clone());
            async move {
                let mut lag = metrics.lag();
                while at(WaitPoint::RoundPause, stop.run_until_cancelled(lag.measured()))
                    .await
                    .is_some()
                {
                    supervise::step();
                }
            }
        });
    }

    /// Waits for a task that the daemon can't go on without.
    pub(super) async fn failure(&self) -> String {
        self.supervisor.failure().await
    }

    /// Ends claiming once it is asked for; never returns.
    pub(super) async fn quiet_after(&self, signals: &Signals) {
        signals.quieted().cancelled().await;
        self.quiet.cancel();
        std::future::pending::<()>().await;
    }

    /// Logs every task, and the running jobs that have run for longest.
    pub(super) fn list(&self) {
        for task in self.supervisor.tasks() {
            let seconds = task.since.elapsed().as_secs();
            tracing::info!(
                event = events::TASK_LISTED,
                task = task.name(),
                running_seconds = seconds,
                restarts = task.restarts,
                state = task.state.as_str(),
                waits_at = task.stay.map(|stay| stay.place.as_str()),
                waits_seconds = task.stay.map(|stay| stay.taken.as_secs_f64()),
                last_error = task.last_error.as_ref().map(|error| error.text.as_str()),
                "a task"
            );
        }
        let jobs = self.attempts.list();
        for job in jobs.iter().take(LISTED_MAX) {
            let stay = job.stay();
            job.scope().say(|| {
                tracing::info!(
                    event = events::JOB_LISTED,
                    running_seconds = job.since.elapsed().as_secs(),
                    progress = job.progress(),
                    running_jobs = jobs.len(),
                    waits_at = stay.map(|stay| stay.place.as_str()),
                    waits_seconds = stay.map(|stay| stay.taken.as_secs_f64()),
                    pid = stay.and_then(|stay| stay.pid),
                    "a running job"
                );
            });
        }
    }

    /// Waits until nothing of what is served is in line or runs.
    pub(super) async fn idle(&self) {
        const LOOK: Duration = Duration::from_millis(100);
        let Some(upkeep) = &self.upkeep else { return };
        loop {
            sleep(LOOK).await;
            let (queues, kinds) = lanes::served(&self.serving());
            let mut idle = !self.lanes().in_use();
            for queue in &queues {
                // A database that is away says nothing about what is left.
                idle = idle && upkeep.nothing_left(queue, &kinds).await.unwrap_or(false);
            }
            if idle {
                return self.tell_what_waits(upkeep).await;
            }
        }
    }

    /// Ends the admin port of a daemon that didn't start; says how many spans that cost.
    pub(super) async fn end_the_port(self, signals: &Signals) -> u64 {
        let lost_before = self.lost_spans();
        self.supervisor.expect_ends();
        signals.reload_for_nobody();
        self.supervisor.ended("reload", shutdown::noted()).await;
        self.stop_admin.cancel();
        self.supervisor.ended("admin", shutdown::soon()).await;
        self.stop_exporter.cancel();
        self.supervisor.ended("exporter", shutdown::soon()).await;
        self.give_spans_up().await;
        self.lost_spans() - lost_before
    }

    fn start_heartbeat(
        &mut self,
        daemon: &Daemon,
        connector: &Connector,
    ) -> Result<Leases, StartError> {
        let settings = &daemon.settings;
        let identity = Identity {
            name: settings.daemon.name.clone(),
            hostname: daemon.environment.hostname().to_owned(),
        };
        let times = LeaseTimes::new(&settings.daemon);
        let keeper =
            PostgresLease::new(connector.clone(), identity, self.told.load.subscribe(), times.ttl);
        let running = Arc::clone(&self.attempts);
        let metrics = Arc::clone(&self.metrics);
        let [feed, back_feed] = [&self.metrics.feed; 2].map(Arc::clone);
        let health = Arc::clone(&self.health);
        let controller = Arc::clone(&self.told.controller);
        let check = self.health.fresh_check("heartbeat", times.ttl);
        check.ok();
        let pulse = Arc::new(Notify::new());
        self.start_pulse(&pulse);
        let reports = Reports {
            lost: Arc::new(move |boot| {
                feed.tell(|| Occurrence::Daemon("daemon.lost"));
                running.lease_lost(boot);
            }),
            back: Arc::new(move || {
                // What its row before was told holds of this one.
                controller.notify_one();
                // Who ends by then serves nothing any more, and who hasn't begun yet says so at its start.
                if health.phase() == Phase::Ready {
                    back_feed.tell(|| Occurrence::Daemon("daemon.ready"));
                }
            }),
            renewed: Arc::new(move || {
                metrics.daemon.heartbeat.refreshed();
                check.ok();
            }),
            pulse: Arc::clone(&pulse),
            runtime: Some(Handle::current()),
            stop: self.stop_heartbeat.clone(),
            retire: Arc::clone(&self.retire_at_end),
        };
        let (publisher, leases) = heartbeat::leases();
        self.registered.set(leases.clone()).ok();
        let notes = self.supervisor.thread("heartbeat");
        let thread = std::thread::Builder::new().name("heartbeat".into()).spawn(move || {
            sampler::register();
            if let Err(error) = heartbeat::run((keeper, times), reports, publisher, notes) {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "the heartbeat has no runtime; nothing is claimed");
            }
        });
        self.heartbeat = Some(thread.map_err(StartError::Thread)?);
        Ok(leases)
    }

    /// A task that wakes with the heartbeat, and one of the runtime's threads with it. So its watchdog
    /// is the heartbeat's thread's as well.
    fn start_pulse(&self, pulse: &Arc<Notify>) {
        let (pulse, stop) = (Arc::clone(pulse), self.stop_heartbeat.clone());
        let limit = steps::OF_MEMORY;
        self.supervisor.spawn_watched("pulse", ExitPolicy::Restart, limit, move || {
            let (pulse, stop) = (Arc::clone(&pulse), stop.clone());
            async move {
                let next = || at(WaitPoint::Pulse, stop.run_until_cancelled(pulse.notified()));
                while next().await.is_some() {
                    supervise::step();
                }
            }
        });
    }

    fn start_completer(
        &mut self,
        settings: &Settings,
        (outcomes, limit): (PostgresOutcomes, Duration),
        bell: &Bell,
        leases: &Leases,
    ) -> Verdicts {
        let (verdicts, inbox) = verdict_channel();
        let kept = self.told.kept.subscribe();
        let (ring, leases) = (bell.clone(), leases.clone());
        let (check, callbacks) = (self.health.check("flush"), Arc::clone(&self.callbacks));
        check.ok();
        let completer = Arc::new(Completer::new(
            outcomes,
            inbox,
            (settings.complete.clone(), kept),
            completer::Links {
                metrics: Arc::clone(&self.metrics),
                check,
                came_back: Arc::new(move || ring.ring_for_sweep()),
                is_ours: Arc::new(move |boot| leases.now() == Some(boot)),
                late: Arc::new(move |lease| callbacks.lost(lease)),
            },
        ));
        self.completer_gives_up = completer.give_up();
        self.supervisor.spawn_watched("completer", ExitPolicy::Restart, limit, move || {
            Arc::clone(&completer).run()
        });
        verdicts
    }

    fn start_lookout(&self, lookout: Arc<Lookout<PostgresClaims>>, limit: Duration) {
        self.supervisor.spawn_watched("lookout", ExitPolicy::Restart, limit, move || {
            Arc::clone(&lookout).run()
        });
    }
}
