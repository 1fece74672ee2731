//! What jemalloc holds, asked at the scrape; nothing where the program has another allocator.

use super::{catalogue as c, registry::Registry};
use crate::sys::heap::Figures;

/// Shows what is known now.
#[expect(clippy::cast_precision_loss, reason = "bytes of memory are far below 2^52")]
pub(super) fn show(registry: &Registry, figures: Option<Figures>) {
    let Some(Figures { allocated, active, resident, mapped, retained }) = figures else { return };
    let figures = [
        (&c::ALLOCATOR_ALLOCATED, allocated),
        (&c::ALLOCATOR_ACTIVE, active),
        (&c::ALLOCATOR_RESIDENT, resident),
        (&c::ALLOCATOR_MAPPED, mapped),
        (&c::ALLOCATOR_RETAINED, retained),
    ];
    for (metric, bytes) in figures {
        registry.figure(metric, Some(bytes as f64));
    }
}
