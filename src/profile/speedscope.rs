//! For <https://www.speedscope.app>, which shows the stacks of each thread by themselves.

use super::Profile;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

impl Profile {
    /// Its file.
    pub fn speedscope(&self, name: &str) -> Value {
        let mut frames: Vec<Value> = Vec::new();
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let mut threads: BTreeMap<&str, (Vec<Vec<usize>>, Vec<i64>)> = BTreeMap::new();
        // What a difference took away can't be drawn.
        for stack in self.stacks.iter().filter(|stack| stack.value(self.main) > 0) {
            let thread = stack.labels.iter().find(|(name, _)| *name == "thread");
            let (stacks, weights) =
                threads.entry(thread.map_or("", |(_, thread)| thread)).or_default();
            let numbered = self.names(stack).into_iter().map(|name| {
                *numbers.entry(name).or_insert_with(|| {
                    frames.push(json!({ "name": name }));
                    frames.len() - 1
                })
            });
            stacks.push(numbered.collect());
            weights.push(stack.value(self.main));
        }
        let unit = self.main().unit;
        let unit = if unit == "count" { "none" } else { unit };
        let profiles = threads.into_iter().map(|(thread, (samples, weights))| {
            let end: i64 = weights.iter().sum();
            json!({
                "type": "sampled", "name": thread, "unit": unit, "startValue": 0, "endValue": end,
                "samples": samples, "weights": weights,
            })
        });
        json!({
            "$schema": "https://www.speedscope.app/file-format-schema.json",
            "exporter": concat!("legwork@", env!("CARGO_PKG_VERSION")),
            "name": name,
            "profiles": profiles.collect::<Vec<_>>(),
            "shared": { "frames": frames },
        })
    }
}
