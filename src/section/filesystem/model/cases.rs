//! The sentence on hosts with links, and for rules that it once did not hold for.

use super::*;

#[test]
fn a_writable_part_of_a_writable_tree_does_not_end_it() {
    let terms = |execute| Terms {
        execute: Some(execute),
        create: None,
        required: false,
    };
    let writable = |execute| View::With(Box::new(View::Host(Access::ReadWrite)), terms(execute));
    let rules = Rules::from([
        ("/".into(), writable(false)),
        ("/a/b/c".into(), writable(true)),
        ("/a/b/c/f".into(), View::Host(Access::Hidden)),
    ]);
    let table = simulate(&rules, &HandMade::new(&HOST.join(" ")))
        .unwrap()
        .unwrap();
    check(&rules, &table).unwrap();
}

/// Links on the host, in a place of root's and in one that is not.
const LINKS: &str = "/k>a/b /a/up>../e /home/u/n>/a/b/c /m>/k/c";

#[test]
fn a_rule_through_a_link_decides_where_it_leads() {
    let keys = [
        "/",
        "/k",
        "/k/c",
        "/k/f",
        "/a/up",
        "/a/up/b",
        "/home/u/n",
        "/m",
        "/m/f",
        "/a",
        "/a/b/c",
        "/e",
    ];
    let word = prop_oneof![
        Just(Access::Hidden),
        Just(Access::ReadOnly),
        Just(Access::ReadWrite)
    ]
    .prop_map(View::Host);
    let view =
        prop_oneof![4 => word, 1 => Just(View::Private), 1 => Just(View::Tmpfs { size: None })];
    let rules = prop::collection::vec((prop::sample::select(keys.to_vec()), view), 1..6);
    hold(2000, &rules, |rules| {
        let host = HandMade::new(&format!("{} {LINKS}", HOST.join(" ")));
        let written: Rules = rules
            .into_iter()
            .map(|(key, view)| (key.into(), view))
            .collect();
        let mut led = Rules::new();
        for (key, view) in &written {
            let place = host.probe(key).canonical.unwrap();
            // Two that meet are told of elsewhere.
            prop_assume!(led.insert(place, view.clone()).is_none());
        }
        let table = simulate(&written, &host)?;
        table.as_ref().map_or(Ok(()), |table| check(&led, table))?;
        Ok(table.is_some())
    });
}
