use super::*;

const PATHS: [&str; 24] = [
    "/",
    "/a",
    "/a/b",
    "/a-b",
    "/a-b/c",
    "/ab",
    "/a/b/c",
    "/a.b",
    "/a/.b",
    "/a/..b",
    "/.",
    "/..",
    "/a/..",
    "/a/.",
    "/a/",
    "//a",
    "/a//b",
    "a",
    "a/b",
    "",
    ".",
    "/a/b-long-enough-for-words/c",
    "/a/b-long-enough-for-words",
    "/a/b-long-enough/for-words",
];

#[test]
fn paths_are_ordered_as_the_standard_library_does() {
    for one in PATHS.map(Path::new) {
        for other in PATHS.map(Path::new) {
            let ours = Key::from(one.to_owned()).cmp(&Key::from(other.to_owned()));
            assert_eq!(ours, one.cmp(other), "{one:?} {other:?}");
        }
        assert!(ancestors(one).eq(one.ancestors()), "{one:?}");
        assert_eq!(above(one), one.parent(), "{one:?}");
    }
}

#[test]
fn what_is_above_and_below_is_what_the_standard_library_says() {
    // The empty path is the beginning of every other, and above no absolute one.
    let paths = PATHS.into_iter().filter(|path| !path.is_empty());
    let map: PathMap<()> = paths.map(|path| (PathBuf::from(path), ())).collect();
    for path in PATHS.map(Path::new) {
        for other in PATHS.map(Path::new) {
            assert_eq!(same(path, other), path == other, "{path:?} {other:?}");
            assert_eq!(
                is_within(path, other),
                path.starts_with(other),
                "{path:?} {other:?}"
            );
            assert_eq!(
                rest(path, other),
                path.strip_prefix(other).ok(),
                "{path:?} {other:?}"
            );
        }
        for few in 0..map.len() {
            let map: PathMap<()> = map
                .keys()
                .skip(few)
                .step_by(3)
                .map(|path| (path.clone(), ()))
                .collect();
            let above = path.ancestors().filter_map(|at| map.get_key_value(at));
            assert!(map.above(path).eq(above), "{path:?} in {map:?}");
            map.each_below(|at, (), depth| {
                assert_eq!(map.above(at).count(), depth + 1, "{at:?}");
            });
            let below = map
                .iter()
                .filter(|(at, _)| at.as_path() != path && at.starts_with(path));
            assert!(map.below(path).eq(below), "{path:?} in {map:?}");
        }
    }
}

#[test]
fn what_is_plain_is_what_its_components_say() {
    for path in PATHS {
        let names = path.strip_prefix('/').map(|rest| rest.split('/'));
        let plain =
            names.is_some_and(|mut names| names.all(|name| !matches!(name, "" | "." | "..")));
        assert_eq!(is_plain(Path::new(path)), plain || path == "/", "{path}");
        let (name, behind) = first_name(path.as_bytes());
        let split = path.split_once('/').map(|(name, rest)| (name, Some(rest)));
        let split = split.unwrap_or((path, None));
        assert_eq!(
            (name, behind),
            (split.0.as_bytes(), split.1.map(str::as_bytes)),
            "{path}"
        );
    }
}

#[test]
fn what_is_near_and_below_is_found() {
    let all = ["/a", "/a/b/c", "/a-b", "/"].map(|path| (PathBuf::from(path), path.len()));
    let mut map = PathMap::from(all);
    let near =
        |map: &PathMap<usize>, path: &str| map.nearest(Path::new(path)).map(|(_, length)| *length);
    assert_eq!(near(&map, "/a/b"), Some(2));
    assert_eq!(near(&map, "/a/b/c/"), Some(6));
    assert_eq!(near(&map, "/x/../y"), Some(1));
    let below: Vec<_> = map
        .below(Path::new("/a"))
        .map(|(path, _)| path.as_path())
        .collect();
    assert_eq!(below, [Path::new("/a/b/c")]);
    assert_eq!(map.remove(Path::new("/a/")), Some(2));
    assert_eq!(map.get(Path::new("/a")), None);
    let set: PathSet = ["/a", "/a/b", "/b"].map(PathBuf::from).into();
    assert_eq!(set.from(Path::new("/a")).count(), 2);
    assert!(set.contains(Path::new("/b")) && !set.contains(Path::new("/c")));
}

#[test]
fn values_are_put_in_the_order_of_their_paths() {
    for step in 1..PATHS.len() {
        let all = || {
            (0..PATHS.len())
                .map(|at| at * step % PATHS.len())
                .enumerate()
        };
        let path = |at: usize| Path::new(PATHS[at]);
        let (mut ours, mut theirs): (Vec<_>, Vec<_>) = (all().collect(), all().collect());
        sort(&mut ours, |(_, at)| path(*at));
        theirs.sort_by(|(_, one), (_, other)| path(*one).cmp(path(*other)));
        assert_eq!(ours, theirs);
        // A map does the same, whenever it is asked.
        let mut map = PathMap::new();
        for (number, (_, at)) in all().enumerate() {
            if number == step {
                assert!(map.keys().is_sorted());
            }
            map.insert(path(at).to_owned(), at);
        }
        assert!(map.keys().is_sorted());
        assert!(map.values().all(|at| map.get(path(*at)).is_some()));
        let mut kept: Vec<_> = map.keys().cloned().collect();
        map.retain(|path, _| path.as_os_str().len() % 2 == 0);
        kept.retain(|path| path.as_os_str().len() % 2 == 0);
        assert!(map.keys().eq(&kept));
        assert!(map.clone().into_keys().eq(map.keys().cloned()));
        for at in map.clone().into_keys() {
            assert!(map.remove(&at).is_some() && !map.contains_key(&at));
            assert!(map.keys().is_sorted());
        }
        assert!(map.is_empty());
    }
}

/// Whatever is done to a map, it says what the map of the standard library says.
#[test]
fn maps_of_many_paths_are_those_of_the_standard_library() {
    use std::collections::BTreeMap;

    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    let parts = [
        "a",
        "b",
        "ab",
        "a-b",
        "12345678",
        "12345678x",
        "..",
        ".",
        "",
        ".x",
        "\u{e9}",
        "a b",
    ];
    for round in 0..60 {
        let mut ours: PathMap<usize> = PathMap::new();
        let mut theirs: BTreeMap<PathBuf, usize> = BTreeMap::new();
        for number in 0..300 {
            let mut path = ["/", "/", "/", "/", "", "//"][random(6)].to_owned();
            for depth in 0..random(5) {
                // Mostly names.
                let most = [parts.len(), 6, 6, 6][random(4)];
                let part = parts[random(most)];
                path.push_str(if depth > 0 { "/" } else { "" });
                path.push_str(part);
            }
            let path = PathBuf::from(path);
            match random(9) {
                0..4 => assert_eq!(
                    ours.insert(path.clone(), number),
                    theirs.insert(path.clone(), number)
                ),
                4 => assert_eq!(ours.remove(&path), theirs.remove(&path)),
                5 => {
                    *ours.entry(path.clone()).or_default() += number;
                    *theirs.entry(path.clone()).or_default() += number;
                }
                6 if round % 3 == 0 => {
                    let keep = random(5);
                    ours.retain(|_, value| *value % 5 != keep);
                    theirs.retain(|_, value| *value % 5 != keep);
                }
                7 if round % 2 == 0 => {
                    ours.values_mut().for_each(|value| *value += 1);
                    theirs.values_mut().for_each(|value| *value += 1);
                }
                _ => {}
            }
            assert_eq!(ours.get(&path), theirs.get(&path), "{path:?}");
            if number % 16 == 0 {
                assert!(ours.iter().eq(theirs.iter()), "{ours:?}");
                assert!(ours.iter().rev().eq(theirs.iter().rev()));
            }
            let above = path.ancestors().filter_map(|at| theirs.get_key_value(at));
            assert!(ours.above(&path).eq(above), "{path:?} in {ours:?}");
            let nearest = path.ancestors().find_map(|at| theirs.get_key_value(at));
            assert_eq!(ours.nearest(&path), nearest, "{path:?}");
            let below = theirs
                .iter()
                .filter(|(at, _)| **at != path && at.starts_with(&path));
            if path.has_root() {
                assert!(ours.below(&path).eq(below), "{path:?} in {ours:?}");
            }
        }
        assert_eq!(ours, theirs.into_iter().collect());
    }
}
