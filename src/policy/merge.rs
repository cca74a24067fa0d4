//! The merge rule: key by key, the later layer wins.
//!
//! `description` and `degrade` are replaced whole by the last layer that says them.

use super::{Layer, Overruled, Policy, Rule, Rules};
use crate::profile::key::Section;
use crate::profile::{COMMAND_LINE, Profile};
use crate::report::Site;

/// Merges layers, lowest first, key by key; the later layer wins.
#[must_use]
pub fn resolve(name: &str, layers: &[Profile]) -> Policy {
    merge(name, layers.to_vec())
}

/// The same with layers that nobody else needs.
#[must_use]
pub fn merge(name: &str, mut layers: Vec<Profile>) -> Policy {
    let mut policy = Policy {
        name: name.to_owned(),
        private_name: name.to_owned(),
        ..Policy::default()
    };
    for profile in &mut layers {
        policy.layers.push(Layer {
            typed: profile.name == COMMAND_LINE,
            name: std::mem::take(&mut profile.name),
            site: Site::new(profile.source, 0..0),
        });
        if profile.description.is_some() {
            policy.description = profile.description.take();
        }
        if let Some(degrade) = profile.degrade.take() {
            policy.degrade = degrade.value;
        }
    }
    let order = order(&layers);
    policy.rules = Rules::with_capacity(order.len());
    for (rank, at) in order {
        let entries = layers.get_mut(rank).map(|profile| &mut profile.entries);
        let Some(entry) = entries.and_then(|entries| entries.get_mut(at)) else {
            continue;
        };
        let rule = Rule {
            value: entry.value.value.take(),
            site: entry.value.site,
            key_site: entry.key.site,
            layer: rank,
            overruled: Vec::new(),
        };
        match policy.rules.last_mut() {
            Some(((section, key), last))
                if *section == entry.section && *key == entry.key.value =>
            {
                let before = std::mem::replace(last, rule);
                last.overruled.push(Overruled {
                    value: before.value,
                    site: before.site,
                    layer: before.layer,
                });
                last.overruled.extend(before.overruled);
            }
            _ => {
                let key = std::mem::take(&mut entry.key.value);
                policy.rules.insert((entry.section, key), rule);
            }
        }
    }
    policy
}

/// All entries by section and key, of one key that of the lower layer first: which layer's, and which of its.
fn order(layers: &[Profile]) -> Vec<(usize, usize)> {
    let mut names: Vec<(Section, &str, usize, usize)> =
        Vec::with_capacity(layers.iter().map(|layer| layer.entries.len()).sum());
    for (rank, profile) in layers.iter().enumerate() {
        let entries = profile.entries.iter().enumerate();
        names
            .extend(entries.map(|(at, entry)| (entry.section, entry.key.value.as_str(), rank, at)));
    }
    names.sort_unstable();
    names.into_iter().map(|(.., rank, at)| (rank, at)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::policy::show;
    use crate::profile::document::parse;
    use crate::profile::key::Section;
    use crate::profile::value::Value;
    use crate::report::paint::Paint;
    use crate::report::{Source, SourceKind, SourceMap};

    /// A line of a layer: a key and its value as TOML. Few keys, so that layers meet.
    type Line = (Section, &'static str, &'static str);

    fn any_line() -> impl Strategy<Value = Line> {
        let values = prop_oneof![
            Just("\"1G\""),
            Just("\"2G\""),
            Just("4096"),
            Just("\"max\""),
            Just("\"inherit\"")
        ];
        let views = prop_oneof![
            Just("\"hidden\""),
            Just("\"read-only\""),
            Just("{ bind = \"/b\" }"),
            Just("\"inherit\"")
        ];
        let paths = prop_oneof![
            Just("\"/\""),
            Just("\"/a/\""),
            Just("\"~\""),
            Just("\"${HOME}/x\"")
        ];
        prop_oneof![
            (
                prop_oneof![Just("memory"), Just("swap"), Just("memory-soft")],
                values
            )
                .prop_map(|(key, value)| (Section::Limits, key, value)),
            (paths, views).prop_map(|(key, value)| (Section::Filesystem, key, value)),
        ]
    }

    /// A layer: every key once.
    fn any_layer() -> impl Strategy<Value = Vec<Line>> {
        prop::collection::vec(any_line(), 1..8).prop_map(|lines| {
            let unique: BTreeMap<(Section, &str), Line> = lines
                .into_iter()
                .map(|line| ((line.0, line.1), line))
                .collect();
            unique.into_values().collect()
        })
    }

    fn read(lines: &[Line], sources: &mut SourceMap) -> Profile {
        let mut text = String::new();
        for section in Section::ALL {
            let of_section: Vec<&Line> = lines.iter().filter(|line| line.0 == section).collect();
            if !of_section.is_empty() {
                text.push_str(&format!("[{section}]\n"));
                for (_, key, value) in of_section {
                    text.push_str(&format!("{key} = {value}\n"));
                }
            }
        }
        let id = sources.add(Source {
            name: "layer.toml".to_owned(),
            kind: SourceKind::Embedded,
            text: text.clone().into(),
        });
        let parsed = parse("layer", id, &text);
        assert_eq!(parsed.diagnostics, [], "{text}");
        parsed.profile
    }

    /// What holds, without the places.
    fn values(policy: &Policy) -> Vec<(Section, String, Value)> {
        Section::ALL
            .into_iter()
            .flat_map(|section| {
                policy
                    .section(section)
                    .map(move |(key, value, _)| (section, key.to_owned(), value.clone()))
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn merging_is_deterministic_and_idempotent(layers in prop::collection::vec(any_layer(), 1..5), again in 0usize..5) {
            let mut sources = SourceMap::new();
            let layers: Vec<Profile> = layers.iter().map(|layer| read(layer, &mut sources)).collect();
            let policy = resolve("p", &layers);
            prop_assert_eq!(&policy, &resolve("p", &layers));
            let at = again % layers.len();
            let mut twice = layers.clone();
            twice.insert(at, layers[at].clone());
            prop_assert_eq!(values(&resolve("p", &twice)), values(&policy));
        }

        #[test]
        fn the_last_layer_that_names_a_key_wins_and_its_place_shows_it(layers in prop::collection::vec(any_layer(), 1..5)) {
            let mut sources = SourceMap::new();
            let profiles: Vec<Profile> = layers.iter().map(|layer| read(layer, &mut sources)).collect();
            let policy = resolve("p", &profiles);
            for ((section, key), rule) in policy.rules.iter() {
                let saying: Vec<(usize, &crate::profile::Entry)> = profiles
                    .iter()
                    .enumerate()
                    .flat_map(|(rank, profile)| profile.entries.iter().map(move |entry| (rank, entry)))
                    .filter(|(_, entry)| entry.section == *section && entry.key.value == *key)
                    .collect();
                let (rank, winner) = saying.last().copied().expect("somebody said it");
                prop_assert_eq!(rule.layer, rank);
                prop_assert_eq!(&rule.value, &winner.value.value);
                prop_assert_eq!(rule.site, winner.value.site);
                prop_assert_eq!(rule.overruled.len(), saying.len() - 1);
                let text = sources.text(rule.site);
                prop_assert!(layers[rank].iter().any(|line| line.2 == text), "{}", text);
                let removed = text == "\"inherit\"";
                prop_assert_eq!(removed, policy.get(*section, key).is_none());
            }
        }

        #[test]
        fn the_order_within_a_layer_does_not_matter(layer in any_layer(), turn in 0usize..8) {
            let mut sources = SourceMap::new();
            let one = read(&layer, &mut sources);
            let mut turned = layer.clone();
            turned.rotate_left(turn % layer.len());
            turned.reverse();
            let other = read(&turned, &mut sources);
            prop_assert_eq!(values(&resolve("p", &[one])), values(&resolve("p", &[other])));
        }

        #[test]
        fn what_is_shown_reads_back(layers in prop::collection::vec(any_layer(), 1..5), all in any::<bool>()) {
            let mut sources = SourceMap::new();
            let profiles: Vec<Profile> = layers.iter().map(|layer| read(layer, &mut sources)).collect();
            let policy = resolve("p", &profiles);
            prop_assume!(!values(&policy).is_empty());
            let text = show::toml(&policy, &sources, all, Paint::PLAIN);
            let parsed = parse("shown", crate::report::SourceId::default(), &text);
            prop_assert_eq!(&parsed.diagnostics, &[], "{}", text);
            prop_assert_eq!(values(&resolve("p", &[parsed.profile])), values(&policy));
        }
    }

    fn two_layers() -> (Policy, SourceMap) {
        let mut sources = SourceMap::new();
        let mut layer = |name: &str, text: &str| {
            let id = sources.add(Source {
                name: format!("{name}.toml"),
                kind: SourceKind::Embedded,
                text: text.to_owned().into(),
            });
            let parsed = parse(name, id, text);
            assert_eq!(parsed.diagnostics, []);
            parsed.profile
        };
        let low = layer(
            "low",
            "degrade = [\"limits.swap\"]\n[limits]\nmemory = \"2G\"\nswap = \"1G\"\npids = 5\n",
        );
        let high = layer(
            "high",
            "description = \"an \\u001b example\"\ndegrade = [\"limits.memory\", \"filesystem./a/\", \"filesystem./b\"]\n\
             [limits]\nmemory = \"3G\"\npids = \"inherit\"\n[filesystem]\n\"/a\" = \"hidden\"\n\"/b\" = \"tmpfs\"\n",
        );
        (resolve("high", &[low, high]), sources)
    }

    #[test]
    fn degrade_is_replaced_whole_and_holds_for_strictness_alone() {
        let (policy, _) = two_layers();
        assert!(policy.may_degrade(Section::Limits, "memory"));
        assert!(!policy.may_degrade(Section::Limits, "swap"));
        assert!(policy.only_adds_strictness(Section::Limits, "swap"));
        assert!(policy.may_degrade(Section::Filesystem, "/a"));
        assert!(
            !policy.may_degrade(Section::Filesystem, "/b"),
            "an empty directory is more than strictness"
        );
        assert!(
            !policy.only_adds_strictness(Section::Limits, "pids"),
            "it is removed"
        );
    }

    #[test]
    fn the_policy_is_shown_with_its_origins() {
        let (policy, sources) = two_layers();
        insta::assert_snapshot!(
            "shown_as_toml",
            show::toml(&policy, &sources, false, Paint::PLAIN)
        );
        let json = serde_json::to_string_pretty(&show::json(&policy, &sources)).unwrap_or_default();
        insta::assert_snapshot!("shown_as_json", json);
    }
}
