//! What of a profile can be drawn: what is above zero. A difference has values below it, of what its time took away.

use super::{Profile, Stack};
use std::collections::BTreeMap;

/// What can be drawn, and whether that is all.
pub(super) struct Drawn<K> {
    /// What is above zero.
    pub(super) values: BTreeMap<K, i64>,
    shrank: bool,
}

impl Profile {
    /// The value that is meant, of stacks that look alike together: what one of them took away, another may have added.
    pub(super) fn drawn<'a, K: Ord>(&'a self, looks: impl Fn(&'a Stack) -> K) -> Drawn<K> {
        let mut values = BTreeMap::new();
        for stack in &self.stacks {
            *values.entry(looks(stack)).or_insert(0) += stack.value(self.main);
        }
        let shrank = values.values().any(|value| *value < 0);
        values.retain(|_, value| *value > 0);
        Drawn { values, shrank }
    }
}

impl<K> Drawn<K> {
    /// What stands over it: its name, and what is missing.
    pub(super) fn title(&self, name: &str) -> String {
        let missing = if self.shrank { ", without what shrank" } else { "" };
        format!("{name}{missing}")
    }
}
