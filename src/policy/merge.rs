//! The merge rule: key by key, the later layer wins.
//!
//! `description` and `degrade` are replaced whole by the last layer that says them.

use super::{Layer, Overruled, Policy, Rule};
use crate::profile::Profile;
use crate::report::Site;

/// Merges layers, lowest first, key by key; the later layer wins.
#[must_use]
pub fn resolve(name: &str, layers: &[Profile]) -> Policy {
    let mut policy = Policy {
        name: name.to_owned(),
        ..Policy::default()
    };
    for (rank, profile) in layers.iter().enumerate() {
        policy.layers.push(Layer {
            name: profile.name.clone(),
            site: Site::new(profile.source, 0..0),
        });
        if profile.description.is_some() {
            policy.description.clone_from(&profile.description);
        }
        if let Some(degrade) = &profile.degrade {
            policy.degrade.clone_from(&degrade.value);
        }
        for entry in &profile.entries {
            let slot = (entry.section, entry.key.value.clone());
            let mut rule = Rule {
                value: entry.value.value.clone(),
                site: entry.value.site,
                key_site: entry.key.site,
                layer: rank,
                overruled: Vec::new(),
            };
            if let Some(before) = policy.rules.remove(&slot) {
                rule.overruled.push(Overruled {
                    value: before.value,
                    site: before.site,
                    layer: before.layer,
                });
                rule.overruled.extend(before.overruled);
            }
            policy.rules.insert(slot, rule);
        }
    }
    policy
}
