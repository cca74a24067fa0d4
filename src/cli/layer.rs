//! The command line as one more layer: what was said with options → a [`Profile`]. Pure.
//!
//! Each option is a source of its own, so that a value on the command line has a place like every other, and a wrong
//! one gives the same diagnostics as in a file.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

pub use super::flag::Flag;
use crate::profile::document::read_entry;
use crate::profile::key::{Name, Section};
use crate::profile::read::{Place, Wrong, broken, path};
use crate::profile::table;
use crate::profile::value::{Access, Value, Variable, View};
use crate::profile::{COMMAND_LINE, Entry, Profile, name};
use crate::report::suggest::nearest;
use crate::report::{Diagnostics, Located, Source, SourceKind, SourceMap};

/// What was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Options and their arguments, in the order of the command line: of two that say the same key the later holds.
    pub options: Vec<(Flag, String)>,
    /// What relative paths are relative to: an absolute path, without links in it. None when its name is not UTF-8.
    pub working_directory: Option<String>,
    /// What `--root` names, when it is no directory that is shown as it is: an imported root, or the path of an archive.
    pub image: Option<String>,
}

/// The layer that the options make; none when there are none.
///
/// # Errors
/// Everything that is wrong with them.
pub fn layer(said: &Said, sources: &mut SourceMap) -> Result<Option<Profile>, Diagnostics> {
    let mut profile: Option<Profile> = None;
    let mut wrong = Diagnostics::new();
    for (flag, argument) in &said.options {
        let option = format!("--{} ", flag.name());
        let offset = option.len();
        let source = sources.add(Source {
            name: COMMAND_LINE.to_owned(),
            kind: SourceKind::CommandLine,
            text: (option + argument).into(),
        });
        let spoken = Spoken {
            argument,
            place: Place { source, offset },
            working_directory: said.working_directory.as_deref(),
            image: said.image.as_deref(),
        };
        match spoken.entry(*flag) {
            Ok(entry) => {
                let layer = profile.get_or_insert_with(|| Profile::empty(COMMAND_LINE, source));
                layer.entries.retain(|before| {
                    (before.section, &before.key.value) != (entry.section, &entry.key.value)
                });
                layer.entries.push(entry);
            }
            Err(diagnostics) => wrong.extend(diagnostics),
        }
    }
    if wrong.is_empty() {
        Ok(profile)
    } else {
        Err(wrong)
    }
}

/// The layer that assignments make, each `SECTION.KEY=VALUE` as after `--set`.
///
/// # Errors
/// Everything that is wrong with them.
pub(super) fn assignments(
    name: &str,
    texts: &[String],
    sources: &mut SourceMap,
) -> Result<Profile, Diagnostics> {
    let mut profile: Option<Profile> = None;
    let mut wrong = Diagnostics::new();
    for text in texts {
        let source = sources.add(Source {
            name: name.to_owned(),
            kind: SourceKind::CommandLine,
            text: text.clone().into(),
        });
        let spoken = Spoken {
            argument: text,
            place: Place { source, offset: 0 },
            working_directory: None,
            image: None,
        };
        match spoken.set() {
            Ok(entry) => {
                let layer = profile.get_or_insert_with(|| Profile::empty(name, source));
                layer.entries.retain(|before| {
                    (before.section, &before.key.value) != (entry.section, &entry.key.value)
                });
                layer.entries.push(entry);
            }
            Err(diagnostics) => wrong.extend(diagnostics),
        }
    }
    match profile {
        Some(profile) if wrong.is_empty() => Ok(profile),
        None if wrong.is_empty() => {
            let source = sources.add(Source {
                name: name.to_owned(),
                kind: SourceKind::CommandLine,
                text: "".into(),
            });
            Ok(Profile::empty(name, source))
        }
        _ => Err(wrong),
    }
}

/// One option's argument and its place.
struct Spoken<'a> {
    argument: &'a str,
    place: Place,
    working_directory: Option<&'a str>,
    image: Option<&'a str>,
}

impl Spoken<'_> {
    fn whole(&self) -> Range<usize> {
        0..self.argument.len()
    }

    fn entry(&self, flag: Flag) -> Result<Entry, Diagnostics> {
        let located = |wrong: Wrong| vec![wrong.locate(self.place, self.whole())];
        match flag {
            Flag::Set => self.set(),
            Flag::Memory => self.toml(Section::Limits, "memory"),
            Flag::Swap => self.toml(Section::Limits, "swap"),
            Flag::MemorySoft => self.toml(Section::Limits, "memory-soft"),
            Flag::Pids => self.toml(Section::Limits, "pids"),
            Flag::Cpu => self.toml(Section::Limits, "cpu"),
            Flag::Net => self.word(Section::Network, "mode", self.argument),
            Flag::Hostname => self.word(Section::Namespaces, "hostname", self.argument),
            Flag::Chdir => {
                let path = self.absolute(self.argument, false).map_err(located)?;
                self.word(Section::Process, "working-directory", &path)
            }
            Flag::ReadOnly => self.view(View::Host(Access::ReadOnly)),
            Flag::ReadWrite => self.view(View::Host(Access::ReadWrite)),
            Flag::Hide => self.view(View::Host(Access::Hidden)),
            Flag::Tmpfs => self.view(View::Tmpfs { size: None }),
            Flag::Copy => self.view(View::Overlay),
            Flag::Bind => self.bind(),
            Flag::Root if self.image.is_some() => {
                let source = self.image.unwrap_or_default().to_owned();
                let access = Access::ReadWrite;
                let view = Value::View(View::Root { source, access });
                self.rule(Section::Filesystem, "/", self.whole(), view)
            }
            Flag::Root => {
                let source = self
                    .absolute(self.argument, false)
                    .and_then(|path| path::value(&path))
                    .map_err(located)?;
                let access = Access::ReadWrite;
                self.rule(
                    Section::Filesystem,
                    "/",
                    self.whole(),
                    Value::View(View::Bind { source, access }),
                )
            }
            Flag::Env => {
                let Some((variable, value)) = self.argument.split_once('=') else {
                    return Err(located(
                        Wrong::new("`--env` takes NAME=VALUE").help(format!(
                            "--set environment.{0}=true passes on yours, --unset-env {0} keeps it away",
                            self.argument
                        )),
                    ));
                };
                if value == "inherit" {
                    // In a profile this text is a removal; set here, the policy could not be shown as one.
                    return Err(located(
                        Wrong::new("a variable cannot be given the value `inherit`").help(format!(
                            "to take back what a profile says: --set environment.{variable}=inherit"
                        )),
                    ));
                }
                let value = Value::Variable(Variable::Set(value.to_owned()));
                self.rule(Section::Environment, variable, 0..variable.len(), value)
            }
            Flag::UnsetEnv => self.rule(
                Section::Environment,
                self.argument,
                self.whole(),
                Value::Variable(Variable::Unset),
            ),
        }
    }

    /// A rule whose value is known.
    fn rule(
        &self,
        section: Section,
        key: &str,
        key_span: Range<usize>,
        value: Value,
    ) -> Result<Entry, Diagnostics> {
        let (known, canonical) = name::lookup(section, key)
            .map_err(|wrong| vec![wrong.locate(self.place, key_span.clone())])?;
        if let Name::Exact(word) = known.name {
            // A variable could be called `default`, which is the section's own word.
            let wrong = Wrong::new(format!(
                "`{word}` has a meaning of its own in `[{section}]`"
            ))
            .help(format!("such as {}", known.example));
            return Err(vec![wrong.locate(self.place, key_span)]);
        }
        Ok(Entry {
            section,
            key: Located::new(canonical, self.place.site(key_span)),
            value: Located::new(Some(value), self.place.site(self.whole())),
        })
    }

    /// A key whose value is the argument, read as TOML or a bare word.
    fn toml(&self, section: Section, key: &str) -> Result<Entry, Diagnostics> {
        let place = self.place;
        let value =
            value_of(self.argument).map_err(|wrong| vec![wrong.locate(place, self.whole())])?;
        self.read(section, key, self.whole(), &value, place)
    }

    /// A key whose value is a text.
    fn word(&self, section: Section, key: &str, text: &str) -> Result<Entry, Diagnostics> {
        let value = Spanned::new(self.whole(), DeValue::String(text.into()));
        self.read(section, key, self.whole(), &value, self.place)
    }

    fn read(
        &self,
        section: Section,
        key: &str,
        key_span: Range<usize>,
        value: &Spanned<DeValue<'_>>,
        value_place: Place,
    ) -> Result<Entry, Diagnostics> {
        let (known, canonical) = name::lookup(section, key)
            .map_err(|wrong| vec![wrong.locate(self.place, key_span.clone())])?;
        Ok(Entry {
            section,
            key: Located::new(canonical, self.place.site(key_span)),
            value: Located::new(
                read_entry(known.kind, value, value_place)?,
                value_place.site(value.span()),
            ),
        })
    }

    /// `SECTION.KEY=VALUE`.
    fn set(&self) -> Result<Entry, Diagnostics> {
        let located = |wrong: Wrong| vec![wrong.locate(self.place, self.whole())];
        let shape = || {
            let like = full_name(self.argument);
            let like = like.as_deref().unwrap_or("limits.memory=3G");
            Wrong::new("`--set` takes SECTION.KEY=VALUE").help(format!("such as --set {like}"))
        };
        let (section_name, rest) = self
            .argument
            .split_once('.')
            .filter(|(section, _)| !section.contains('='))
            .ok_or_else(|| located(shape()))?;
        let Some(section) = Section::by_name(section_name) else {
            let wrong = Wrong::new(format!("there is no section `{section_name}`"));
            let names = Section::ALL.map(Section::name);
            let wrong = match nearest(section_name, names) {
                Some(near) => wrong.label(format!("did you mean `{near}`?")),
                None => wrong.help(format!("sections are {}", names.join(", "))),
            };
            return Err(vec![wrong.locate(self.place, 0..section_name.len())]);
        };
        let key_start = section_name.len() + 1;
        let end = key_end(rest).ok_or_else(|| located(shape()))?;
        let (key, value) = rest.split_at(end);
        let key_span = key_start..key_start + end;
        let key = unquote(key).map_err(|wrong| vec![wrong.locate(self.place, key_span.clone())])?;
        // Behind the `=` that `key_end` found.
        let value = value.get(1..).unwrap_or("");
        let value_place = Place {
            offset: self.place.offset + key_span.end + 1,
            ..self.place
        };
        let value =
            value_of(value).map_err(|wrong| vec![wrong.locate(value_place, 0..value.len())])?;
        self.read(section, &key, key_span, &value, value_place)
    }

    fn view(&self, view: View) -> Result<Entry, Diagnostics> {
        let path = self
            .absolute(self.argument, true)
            .map_err(|wrong| vec![wrong.locate(self.place, self.whole())])?;
        self.rule(Section::Filesystem, &path, self.whole(), Value::View(view))
    }

    fn bind(&self) -> Result<Entry, Diagnostics> {
        let wrong = |wrong: Wrong, span: Range<usize>| vec![wrong.locate(self.place, span)];
        let (source, target) = match self.argument.split_once(':') {
            Some((source, target)) if !target.contains(':') => (source, target),
            _ => {
                let error = Wrong::new("`--bind` takes SRC:DST").help(
                    "for a name with `:` in it: --set 'filesystem.\"DST\"={ bind = \"SRC\" }'",
                );
                return Err(wrong(error, self.whole()));
            }
        };
        let target_span = source.len() + 1..self.argument.len();
        let source = self
            .absolute(source, false)
            .and_then(|path| path::value(&path))
            .map_err(|error| wrong(error, 0..source.len()))?;
        let target = self
            .absolute(target, true)
            .map_err(|error| wrong(error, target_span.clone()))?;
        let access = Access::ReadWrite;
        self.rule(
            Section::Filesystem,
            &target,
            target_span,
            Value::View(View::Bind { source, access }),
        )
    }

    /// A path that may be relative to the working directory, whose own name is no glob even where a key is.
    fn absolute(&self, text: &str, is_key: bool) -> Result<String, Wrong> {
        if text.is_empty() || text.starts_with(['/', '~', '$']) {
            return Ok(text.to_owned());
        }
        let base = self
            .working_directory
            .filter(|base| base.starts_with('/'))
            .ok_or_else(|| {
                Wrong::new(format!(
                    "`{text}` is relative to a directory whose name is not UTF-8"
                ))
                .help("give an absolute path")
            })?;
        // There are no links in the working directory's path, so that `..` at the beginning is plain arithmetic. Behind
        // another name it is not, and is refused as everywhere.
        let mut parents: Vec<&str> = base.split('/').filter(|name| !name.is_empty()).collect();
        let mut names = text
            .split('/')
            .filter(|name| !matches!(*name, "" | "."))
            .peekable();
        while names.next_if_eq(&"..").is_some() {
            parents.pop();
        }
        let mut out = String::new();
        for parent in parents {
            out.push('/');
            if is_key {
                out.push_str(&glob::Pattern::escape(parent));
            } else {
                out.push_str(parent);
            }
        }
        for name in names {
            out.push('/');
            out.push_str(name);
        }
        Ok(if out.is_empty() { "/".to_owned() } else { out })
    }
}

/// An assignment that lacks nothing but the section, with the first that has such a key.
fn full_name(text: &str) -> Option<String> {
    let (key, value) = text.split_once('=')?;
    let mut sections = Section::ALL.into_iter();
    let section = sections.find(|section| table::find(*section, key).is_some())?;
    (!value.is_empty()).then(|| format!("{}.{text}", section.name()))
}

/// Where a key ends: at the first `=` behind its quotes, or outside of all parentheses.
fn key_end(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0_usize;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some('"'), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if at == 0 => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, '=') if depth == 0 => return Some(at),
            (None, _) => {}
        }
    }
    None
}

/// A key without its quotes, if it has any.
fn unquote(key: &str) -> Result<String, Wrong> {
    if !key.starts_with(['"', '\'']) {
        return Ok(key.to_owned());
    }
    match DeValue::parse(key).map(Spanned::into_inner) {
        Ok(DeValue::String(text)) => Ok(text.into_owned()),
        _ => Err(Wrong::new("the key is not quoted as TOML has it")),
    }
}

/// A value as TOML, or a bare word.
fn value_of(text: &str) -> Result<Spanned<DeValue<'_>>, Wrong> {
    match DeValue::parse(text) {
        Ok(value) => Ok(value),
        Err(error) if text.starts_with(['"', '\'', '[', '{']) => {
            Err(broken(error.message(), error.span(), text))
        }
        Err(_) => Ok(Spanned::new(0..text.len(), DeValue::String(text.into()))),
    }
}

#[cfg(test)]
#[path = "layer_tests.rs"]
mod tests;
