//! What calls functions of the database, and the task that ends what attempts leave behind.

use super::{Daemon, Running, steps};
use crate::{
    maintenance,
    postgres::{Connector, Functions},
    supervise::ExitPolicy,
};
use std::sync::Arc;

impl Running {
    /// Asks the database nothing as long as no kind calls a function.
    pub(super) fn start_functions(&self, daemon: &Daemon, connector: &Connector) -> Arc<Functions> {
        let connections = daemon.settings.database.sql_connections;
        let (held, kept) = (Arc::clone(&self.held), self.told.kept.subscribe());
        let functions = Arc::new(Functions::new(connector, held, connections, kept));
        let (ended, called) = (Arc::clone(&functions), self.told.called.subscribe());
        // With the canceller: attempts are given up until the last worker is gone.
        let (stop, limit) = (self.stop_cancelling.clone(), steps::of_statements(connector));
        self.supervisor.spawn_watched("ender", ExitPolicy::Restart, limit, move || {
            maintenance::end_abandoned(Arc::clone(&ended), called.clone(), stop.clone())
        });
        functions
    }
}
