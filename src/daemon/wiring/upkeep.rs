//! The tasks beside the jobs' way: the listener and the rounds of maintenance.

use super::{Running, lanes, steps};
use crate::{
    claimer::Bell,
    config::Settings,
    heartbeat::{LeaseTimes, Leases},
    maintenance::{
        self, Bulk, Canary, Controller, Doorbell, Ears, Obey, Promoter, Pruner, Rescuer, Rested,
        Scheduler,
    },
    postgres::{Connector, DbError, Upkeep},
    supervise::{self, ExitPolicy, WaitPoint, at},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, Notify},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// Heartbeat intervals between two looks at what operators decided, beside those of notifications: an idle daemon
/// is to send few statements.
const CONTROL_INTERVALS: u32 = 3;

impl Running {
    pub(super) fn start_listener(
        &self,
        connector: &Connector,
        upkeep: &Arc<Upkeep>,
        bell: &Bell,
        leases: &Leases,
    ) {
        let ears = Arc::new(Ears {
            bell: bell.clone(),
            cancel: Arc::new(Notify::new()),
            control: Arc::clone(&self.told.controller),
            check: self.health.check("listener"),
            hints: Arc::clone(&self.hints),
            metrics: Arc::clone(&self.metrics),
        });
        let heard = Arc::clone(&ears.cancel);
        // To the very end: who drains hears at once that he is to end now, or whose job is cancelled.
        let (connector, stop) = (connector.clone(), self.stop_cancelling.clone());
        let limit = steps::of_statements(&connector);
        self.supervisor.spawn_watched(
            "listener",
            ExitPolicy::Restart,
            steps::OF_LISTENER,
            move || maintenance::listen(connector.clone(), Arc::clone(&ears), stop.clone()),
        );
        // A cancel that was announced is looked for at once; the canceller's own rounds are the net.
        let (upkeep, leases) = (Arc::clone(upkeep), leases.clone());
        let (running, stop) = (Arc::clone(&self.attempts), self.stop_cancelling.clone());
        let name = "canceller[notified]";
        self.supervisor.spawn_watched(name, ExitPolicy::Restart, limit, move || {
            let (upkeep, leases, running) =
                (Arc::clone(&upkeep), leases.clone(), Arc::clone(&running));
            let (heard, stop) = (Arc::clone(&heard), stop.clone());
            async move {
                let told = || {
                    let told = supervise::waiting(stop.run_until_cancelled(heard.notified()));
                    at(WaitPoint::RoundPause, told)
                };
                while told().await.is_some() {
                    // A failure is the canceller's to tell of: its next round meets it too.
                    maintenance::cancel_requested(&upkeep, &leases, &running).await.ok();
                    // Told to stop or not, the loop looks at the token next.
                    let rest = stop.run_until_cancelled(sleep(maintenance::CANCEL_REST));
                    at(WaitPoint::RoundPause, rest).await;
                }
            }
        });
    }

    pub(super) fn start_maintenance(
        &self,
        settings: &Settings,
        connector: &Connector,
        (upkeep, bell): (&Arc<Upkeep>, &Bell),
        (leases, doorbell): (Leases, Doorbell),
    ) {
        let stop = || self.stop_claiming.clone();
        let (brief, survey) = (steps::of_statements(connector), steps::of_survey(connector));
        let doorbell = Arc::new(Mutex::new(doorbell));
        let (many, halt) = (Arc::clone(&self.hints.many), stop());
        self.supervisor.spawn_watched("poller", ExitPolicy::Restart, brief, move || {
            let doorbell = Arc::clone(&doorbell);
            maintenance::punctually("poller", halt.clone(), Arc::clone(&many), move || {
                let doorbell = Arc::clone(&doorbell);
                async move { doorbell.lock().await.round().await }
            })
        });
        let promoter = Promoter::new(Arc::clone(upkeep), bell.clone());
        let promoter = Arc::new(Mutex::new(promoter));
        self.round(("promoter", brief), stop(), move || {
            let promoter = Arc::clone(&promoter);
            async move { promoter.lock().await.round().await }
        });
        let times = LeaseTimes::new(&settings.daemon);
        let metrics = Arc::clone(&self.metrics);
        let rescuer = Rescuer::new(
            Arc::clone(upkeep),
            (times, settings.database.statement_timeout),
            bell.clone(),
            metrics,
        );
        let rescuer = Arc::new(Mutex::new(rescuer));
        self.round(("rescuer", survey), stop(), move || {
            let rescuer = Arc::clone(&rescuer);
            async move { rescuer.lock().await.round().await }
        });
        let (up, registered) = (Arc::clone(upkeep), leases.clone());
        self.round(("expirer", brief), stop(), move || {
            let (up, leases) = (Arc::clone(&up), registered.clone());
            async move { maintenance::expire(&up, &leases).await }
        });
        let (up, running) = (Arc::clone(upkeep), Arc::clone(&self.attempts));
        self.round(("canceller", brief), self.stop_cancelling.clone(), move || {
            let (up, leases, running) = (Arc::clone(&up), leases.clone(), Arc::clone(&running));
            async move { maintenance::cancel_requested(&up, &leases, &running).await }
        });
        self.start_history(upkeep, survey);
    }

    /// Brings here what operators decide, to the very end: who drains may be told to end at once.
    pub(super) fn start_controller(
        &self,
        (settings, connector): (&Settings, &Connector),
        (upkeep, leases): (&Arc<Upkeep>, &Leases),
        (bell, obey): (&Bell, Obey),
    ) {
        let overrides = self.told.overrides.clone();
        let feed = Arc::clone(&self.metrics.feed);
        let told = maintenance::Told { overrides, obey, bell: bell.clone(), feed };
        let interval = settings.daemon.heartbeat_interval * CONTROL_INTERVALS;
        let controller = Controller::new(Arc::clone(upkeep), leases.clone(), interval, told);
        let (controller, stop) = (Arc::new(Mutex::new(controller)), self.stop_cancelling.clone());
        let (woken, serving) = (Arc::clone(&self.told.controller), self.serving());
        let limit = steps::of_statements(connector);
        self.supervisor.spawn_watched("controller", ExitPolicy::Restart, limit, move || {
            let (controller, serving) = (Arc::clone(&controller), Arc::clone(&serving));
            maintenance::punctually("controller", stop.clone(), Arc::clone(&woken), move || {
                let controller = Arc::clone(&controller);
                let (served, _) = lanes::served(&serving);
                async move { controller.lock().await.round(&served).await }
            })
        });
    }

    /// Enqueues the jobs of schedules. Without any it asks nothing until a reload brings one.
    pub(super) fn start_scheduler(
        &self,
        connector: &Connector,
        (upkeep, leases): (&Arc<Upkeep>, &Leases),
    ) {
        let settings = self.told.schedules.subscribe();
        let told = (Arc::clone(&self.metrics), self.tracer.clone());
        let scheduler = Scheduler::new(Arc::clone(upkeep), settings, leases.clone(), told);
        let (scheduler, stop) = (Arc::new(Mutex::new(scheduler)), self.stop_claiming.clone());
        let woken = Arc::clone(&self.told.scheduler);
        let limit = steps::of_statements(connector);
        self.supervisor.spawn_watched("scheduler", ExitPolicy::Restart, limit, move || {
            let scheduler = Arc::clone(&scheduler);
            maintenance::punctually("scheduler", stop.clone(), Arc::clone(&woken), move || {
                let scheduler = Arc::clone(&scheduler);
                async move { scheduler.lock().await.round().await }
            })
        });
    }

    /// Goes on with operations on many jobs.
    pub(super) fn start_bulk(
        &self,
        connector: &Connector,
        (upkeep, leases): (&Arc<Upkeep>, &Leases),
    ) {
        let feed = Arc::clone(&self.metrics.feed);
        let bulk = Arc::new(Mutex::new(Bulk::new(Arc::clone(upkeep), leases.clone(), feed)));
        let (stop, woken) = (self.stop_claiming.clone(), Arc::clone(&self.told.bulk));
        let limit = steps::of_survey(connector);
        self.supervisor.spawn_watched("bulk", ExitPolicy::Restart, limit, move || {
            let bulk = Arc::clone(&bulk);
            maintenance::punctually("bulk", stop.clone(), Arc::clone(&woken), move || {
                let bulk = Arc::clone(&bulk);
                async move { bulk.lock().await.round().await }
            })
        });
    }

    /// Sends canaries, where they are asked for. Its rounds end with those of the others, not with TSTP: a task that ends
    /// before the daemon does is one that failed.
    pub(super) fn start_canary(
        &self,
        (settings, connector): (&Settings, &Connector),
        (upkeep, leases): (&Arc<Upkeep>, &Leases),
    ) {
        let Some(queue) = settings.canary_queue().cloned() else { return };
        let interval = settings.canary.interval;
        let stops = (leases.clone(), self.quiet.clone());
        let canary = Arc::new(Canary::new((queue, interval), stops, &self.metrics));
        let (up, serving) = (Arc::clone(upkeep), self.serving());
        let limit = steps::of_statements(connector);
        self.round(("canary", limit), self.stop_claiming.clone(), move || {
            let (up, canary) = (Arc::clone(&up), Arc::clone(&canary));
            let (served, _) = lanes::served(&serving);
            async move { canary.round(&up, &served).await }
        });
    }

    fn start_history(&self, upkeep: &Arc<Upkeep>, limit: Duration) {
        let kept = self.told.kept.subscribe();
        let pruner = Pruner::new(Arc::clone(upkeep), self.health.check("partition"), kept);
        let pruner = Arc::new(Mutex::new(pruner));
        self.round(("pruner", limit), self.stop_claiming.clone(), move || {
            let pruner = Arc::clone(&pruner);
            async move { pruner.lock().await.round().await }
        });
    }

    /// A maintenance loop as a task, with the limit of its steps.
    pub(super) fn round<Round, Work, Done>(
        &self,
        (name, limit): (&'static str, Duration),
        stop: CancellationToken,
        round: Round,
    ) where
        Round: FnMut() -> Work + Send + Clone + 'static,
        Work: Future<Output = Result<Done, DbError>> + Send + 'static,
        Done: Into<Rested> + Send + 'static,
    {
        self.supervisor.spawn_watched(name, ExitPolicy::Restart, limit, move || {
            maintenance::every(name, stop.clone(), round.clone())
        });
    }
}
