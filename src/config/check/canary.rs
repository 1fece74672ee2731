//! `[canary]`: that its queue is served here, and that its kind is nobody else's.

use super::section;
use crate::{
    config::{
        reader::{At, Reader},
        settings::{Canary, Settings},
    },
    job::{KindName, QueueName},
};

pub(super) fn settings(reader: &mut Reader<'_>, default: &Canary) -> Canary {
    let at = section("canary");
    let named = |text: &str| QueueName::new(text).map(drop).map_err(|error| error.to_string());
    let queue = reader.text(at, "queue", named).and_then(|text| QueueName::new(&text).ok());
    Canary {
        enabled: reader.switch(at, "enabled", default.enabled),
        interval: reader.duration(at, "interval", default.interval),
        queue,
    }
}

pub(super) fn check(reader: &mut Reader<'_>, settings: &Settings) {
    if let Some(why) = not_served(settings) {
        reader.refuse(section("canary"), "queue", &why);
    }
    if let Some(why) = taken(settings) {
        reader.refuse(At { section: "kind", item: Some(KindName::CANARY) }, "name", &why);
    }
}

/// Why nothing would come of a canary: nobody here runs what is in its queue.
pub(super) fn not_served(settings: &Settings) -> Option<String> {
    let queue = settings.canary.queue.as_ref()?;
    let served = settings.queues.iter().any(|served| served.name == *queue);
    (!served).then(|| format!("{:?} is no queue that this daemon serves", queue.as_str()))
}

/// Why a kind can't be called so.
pub(super) fn taken(settings: &Settings) -> Option<String> {
    let taken = settings.kinds.iter().any(|kind| kind.name.is_canary());
    taken.then(|| format!("{:?} is Legwork's own: [canary] serves it", KindName::CANARY))
}
