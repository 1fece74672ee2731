//! The kinds that call a function of the database, and the task that ends what they leave behind.

use super::{Daemon, Running, steps};
use crate::{
    config::{HandlerSettings, SqlSettings},
    executor::Registry,
    handlers, maintenance,
    postgres::{Connector, Functions},
    supervise::ExitPolicy,
};
use std::sync::Arc;

impl Running {
    /// The daemon's handlers with those that call functions; nothing starts where no kind does.
    pub(super) fn start_functions(&self, daemon: &Daemon, connector: &Connector) -> Registry {
        let settings = &daemon.settings;
        let called = settings.kinds.iter().filter_map(|kind| match &kind.handler {
            HandlerSettings::Sql(settings) => Some(settings.clone()),
            _ => None,
        });
        let called: Arc<[SqlSettings]> = called.collect();
        if called.is_empty() {
            return daemon.registry.clone();
        }
        let kept = self.told.kept.subscribe();
        let connections = settings.database.sql_connections;
        let functions = Functions::new(connector, Arc::clone(&self.held), connections, kept);
        let functions = Arc::new(functions);
        let registry =
            handlers::with_functions(daemon.registry.clone(), &settings.kinds, &functions);
        // With the canceller: attempts are given up until the last worker is gone.
        let (stop, limit) = (self.stop_cancelling.clone(), steps::of_statements(connector));
        self.supervisor.spawn_watched("ender", ExitPolicy::Restart, limit, move || {
            maintenance::end_abandoned(Arc::clone(&functions), Arc::clone(&called), stop.clone())
        });
        registry
    }
}
