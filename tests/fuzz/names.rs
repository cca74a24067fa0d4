//! Patterns of paths, for names that a hostile program gives: an independent reading of them, and of what keeps them away.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sandbox::section::expand::literal;
use sandbox::section::filesystem::later::{Names, Rule, Tree};
use sandbox::section::pattern::{Onward, Part, Parts};
use sandbox::tree::PathMap;

/// One letter of a pattern of one name.
enum Token {
    One,
    Any,
    /// These ranges, or none of them.
    Set(bool, Vec<(char, char)>),
    Letter(char),
}

/// Takes a pattern of one name apart (glob(7), but `!` alone negates, and a set is of one letter at least).
fn tokens(text: &[char]) -> Option<Vec<Token>> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&letter) = text.get(at) {
        at += 1;
        out.push(match letter {
            '?' => Token::One,
            '*' if text.get(at) == Some(&'*') => return None,
            '*' => Token::Any,
            '[' => {
                let negated = text.get(at) == Some(&'!');
                at += usize::from(negated);
                // The first one is a member, whatever it is.
                let length = text.get(at + 1..)?.iter().position(|one| *one == ']')? + 1;
                let mut inner = &text[at..at + length];
                at += length + 1;
                let mut ranges = Vec::new();
                while let [first, rest @ ..] = inner {
                    match rest {
                        ['-', last, rest @ ..] => {
                            ranges.push((*first, *last));
                            inner = rest;
                        }
                        rest => {
                            ranges.push((*first, *first));
                            inner = rest;
                        }
                    }
                }
                Token::Set(negated, ranges)
            }
            letter => Token::Letter(letter),
        });
    }
    Some(out)
}

/// Whether they stand for all of a name, by a table of beginnings.
fn fits(tokens: &[Token], name: &[char]) -> bool {
    let mut row: Vec<bool> = (0..=name.len()).map(|length| length == 0).collect();
    for token in tokens {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            let before = at.checked_sub(1);
            next[at] = match token {
                Token::Any => row[at] || before.is_some_and(|before| next[before]),
                one => before.is_some_and(|before| {
                    let letter = name[before];
                    let has = |(first, last): &(char, char)| (*first..=*last).contains(&letter);
                    row[before]
                        && match one {
                            Token::Set(negated, ranges) => ranges.iter().any(has) != *negated,
                            Token::Letter(own) => *own == letter,
                            Token::One | Token::Any => true,
                        }
                }),
            };
        }
        row = next;
    }
    row[name.len()]
}

fn fits_name(pattern: &str, name: &OsStr) -> Option<bool> {
    let letters = |text: &str| text.chars().collect::<Vec<char>>();
    let latin = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| char::from(*byte))
            .collect::<Vec<_>>()
    };
    let own = tokens(&letters(pattern))?;
    Some(match name.to_str() {
        Some(name) => fits(&own, &letters(name)),
        None => {
            fits(
                &tokens(&latin(pattern.as_bytes()))?,
                &latin(name.as_bytes()),
            ) || fits(&own, &letters(&name.to_string_lossy()))
        }
    })
}

/// Whether a pattern stands for a path: by a table of how many parts are behind one after so many names.
fn fits_path(pattern: &[&str], names: &[&OsStr]) -> Option<bool> {
    let mut row: Vec<bool> = vec![false; names.len() + 1];
    row[0] = true;
    for (number, part) in pattern.iter().enumerate() {
        let mut next = vec![false; names.len() + 1];
        for at in 0..=names.len() {
            let before = at.checked_sub(1);
            next[at] = match *part {
                // At the end everything in one directory, else any number of directories.
                "**" if number + 1 == pattern.len() => before.is_some_and(|before| row[before]),
                "**" => row[at] || before.is_some_and(|before| next[before]),
                text => match before {
                    Some(before) => fits_name(text, names[before])? && row[before],
                    None => false,
                },
            };
        }
        row = next;
    }
    Some(row[names.len()] && !pattern.is_empty())
}

fn parts_of(bytes: &[u8]) -> Vec<&[u8]> {
    let parts = bytes.split(|byte| *byte == b'/');
    parts
        .filter(|name| !matches!(*name, b"" | b"." | b"..") && !name.contains(&0))
        .collect()
}

fn path_of(bytes: &[u8]) -> PathBuf {
    let mut path = PathBuf::from("/");
    path.extend(parts_of(bytes).into_iter().map(OsStr::from_bytes));
    path
}

fn names_of(path: &Path) -> Vec<&OsStr> {
    path.iter().skip(1).collect()
}

fn covers(onward: Option<&Onward>, name: &OsStr) -> bool {
    match onward {
        Some(Onward::All) => true,
        Some(Onward::Names(names)) => names.iter().any(|own| own == name),
        None => false,
    }
}

struct Said {
    pattern: String,
    closes: bool,
}

impl Said {
    fn fits(&self, path: &Path) -> bool {
        let pattern: Vec<&str> = self
            .pattern
            .split('/')
            .filter(|part| !part.is_empty())
            .collect();
        fits_path(&pattern, &names_of(path)).expect("it can be read")
    }
}

/// Lines: `-PATTERN` keeps away, `+PATTERN` does not, the strongest first; `!PATH` and `=PATH` do so for one path alone; `<PLACE
/// PATH` shows a path of the host there, `>PLACE` is ours; all else is a path to be judged.
pub fn pattern(data: &[u8]) {
    let mut said = Vec::new();
    let mut rules = Vec::new();
    let mut literals: PathMap<bool> = PathMap::new();
    let mut trees: PathMap<Tree> = PathMap::new();
    let mut places = Vec::new();
    for line in data.split(|byte| *byte == b'\n').take(24) {
        let (&first, rest) = line.split_first().unwrap_or((&b'/', b""));
        match first {
            b'-' | b'+' => {
                let Ok(pattern) =
                    String::from_utf8(path_of(rest).into_os_string().into_encoded_bytes())
                else {
                    continue;
                };
                let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
                let is_good = parts.iter().all(|part| {
                    *part == "**" || tokens(&part.chars().collect::<Vec<_>>()).is_some()
                });
                match Parts::new(Path::new(&pattern)) {
                    Ok(read) => {
                        assert!(is_good, "{pattern:?} is read");
                        rules.push(Rule {
                            pattern: read,
                            closes: first == b'-',
                            key: pattern.clone(),
                        });
                        said.push(Said {
                            pattern,
                            closes: first == b'-',
                        });
                    }
                    Err(why) => assert!(!is_good && !why.is_empty(), "{pattern:?}: {why}"),
                }
            }
            b'!' | b'=' => drop(literals.insert(path_of(rest), first == b'!')),
            b'<' => {
                let mut halves = rest.split(|byte| *byte == b' ');
                let (place, source) = (
                    halves.next().unwrap_or_default(),
                    halves.next().unwrap_or_default(),
                );
                trees.insert(path_of(place), Tree::Host(path_of(source)));
            }
            b'>' => drop(trees.insert(path_of(rest), Tree::Own)),
            _ => places.push(path_of(line)),
        }
    }
    for (rule, said) in rules.iter().zip(&said) {
        for place in &places {
            one(&rule.pattern, said, place);
        }
    }
    let names = Names::new(rules, literals.clone(), trees.clone());
    let closing = said
        .iter()
        .filter(|rule| rule.closes)
        .map(|rule| rule.pattern.as_str());
    assert!(names.keys().eq(closing));
    for place in &places {
        kept_away(&names, &said, &literals, &trees, place);
    }
}

/// One pattern and one path.
fn one(parts: &Parts, said: &Said, place: &Path) {
    let pattern = &said.pattern;
    let matches = parts.matches(place);
    assert_eq!(matches, said.fits(place), "{pattern:?} and {place:?}");
    if matches {
        assert!(parts.may_end_in(place.file_name()));
        let mut below = place.to_owned();
        while let Some(name) = below.file_name().map(OsStr::to_owned) {
            below.pop();
            let onward = parts.onward(&below);
            assert!(
                covers(onward.as_ref(), &name),
                "{pattern:?} and {place:?}: {onward:?} in {below:?}"
            );
        }
    }
    // Where it starts may be called otherwise.
    let (start, rest) = parts.clone().split();
    let elsewhere = Path::new("/else/[where]");
    let moved = parts.clone().starting_in(elsewhere);
    if let Ok(own) = place.strip_prefix(&start)
        && !rest.is_empty()
        && own != Path::new("")
    {
        assert_eq!(
            moved.matches(&elsewhere.join(own)),
            matches,
            "{pattern:?} and {place:?}"
        );
    }
    if rest.is_empty() {
        assert_eq!(
            matches,
            start == place && start != Path::new("/"),
            "{pattern:?} and {place:?}"
        );
    }
    // A path as a pattern means itself alone.
    let quoted = literal(place, true);
    if let Some(text) = quoted.to_str() {
        let itself = Parts::new(Path::new(text)).expect("it can be read");
        assert!(itself.matches(place) || place == Path::new("/"), "{text:?}");
        let (start, rest) = itself.split();
        assert!(
            rest.iter().all(|part| matches!(part, Part::Name(_))),
            "{text:?}"
        );
        assert_eq!(start, place);
    }
}

/// What is kept away is what the rules say, and whoever looks only where he is told to finds it.
fn kept_away(
    names: &Names,
    said: &[Said],
    literals: &PathMap<bool>,
    trees: &PathMap<Tree>,
    place: &Path,
) {
    let host = |place: &Path| -> Option<PathBuf> {
        let found = place
            .ancestors()
            .find_map(|above| Some((above, trees.get(above)?)));
        match found {
            None => Some(place.to_owned()),
            Some((_, Tree::Own)) => None,
            Some((above, Tree::Host(source))) => {
                let mut path = source.clone();
                path.extend(place.strip_prefix(above).expect("it is above"));
                Some(path)
            }
        }
    };
    let verdict = |path: &Path| {
        let rule = || {
            said.iter()
                .find(|rule| rule.fits(path))
                .map(|rule| rule.closes)
        };
        literals.get(path).copied().or_else(rule)
    };
    let closes = names.close(place);
    let shown = host(place);
    let expected = shown.as_ref().is_some_and(|host| {
        let there = || (host != place && verdict(host) == Some(true)).then_some(true);
        verdict(place).or_else(there).unwrap_or(false)
    });
    let by_name = |path: &Path| literals.contains_key(path);
    // What is shown from elsewhere is so by a key that names the place alone.
    if trees.contains_key(place) {
        return;
    }
    assert_eq!(closes, expected, "{place:?} is {shown:?}");
    // What names one path alone is there from the start, and is not looked for.
    let is_named = by_name(place) || shown.as_deref().is_some_and(by_name);
    if closes && !is_named {
        let mut below = place.to_owned();
        while let Some(name) = below.file_name().map(OsString::from) {
            below.pop();
            let onward = names.onward(&below);
            assert!(
                covers(onward.as_ref(), &name),
                "{place:?} is not found: {onward:?} in {below:?}"
            );
        }
    }
}
