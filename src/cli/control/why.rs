//! `sandboxctl why`: whether something is allowed, and by which line of which file.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use crate::control::confinement::Confinement;
use crate::control::record::raw;
use crate::control::sandbox::{self, Refusal, Sandbox};
use crate::host::facts::Caller;
use crate::plan::why::question::{self, KINDS};
use crate::plan::why::{Answer, Cited, Question, Verdict, answer};
use crate::policy::{Policy, recorded};
use crate::profile::brief;
use crate::profile::key::Section;
use crate::report::paint::Paint;
use crate::report::{SourceMap, escape};

use super::super::{inspect, status};
use super::running::refuse;

/// Who is asked.
struct Asked {
    kind: &'static str,
    name: String,
    policy: Policy,
    sandbox: Option<Sandbox>,
}

pub(super) fn why(mut words: Vec<String>, profiles: Vec<String>, json: bool) -> Result<(), i32> {
    let wrong = |message: &str, help: String| refuse_usage(&Refusal::new(message).help(help));
    let asked = words.pop().unwrap_or_default();
    let mut sources = SourceMap::new();
    let about = if profiles.is_empty() {
        match words.as_slice() {
            [] => {
                return Err(wrong(
                    "whom to ask, or what, is missing",
                    format!("sandboxctl why NAME QUESTION; QUESTION is {KINDS}"),
                ));
            }
            [name] => sandbox_or_profile(name, &mut sources)?,
            several => profile(several.to_vec(), &mut sources)?,
        }
    } else if words.is_empty() {
        profile(profiles, &mut sources)?
    } else {
        return Err(wrong(
            "with --profile, only the question follows",
            format!("to ask several profiles merged: --profile A --profile B {asked}"),
        ));
    };
    let mut unclear = None;
    let facts = inspect::facts_for(
        &about.policy,
        &inspect::known_roots(&about.policy),
        String::new(),
        |caller| {
            if let Some(sandbox) = &about.sandbox {
                become_caller(caller, sandbox);
            }
        },
        |caller| paths(&question::read(&asked, caller).unwrap_or_default()),
    );
    let facts = facts.map_err(|errors| {
        inspect::tell(&errors, &sources);
        status::NO
    })?;
    let questions = question::read(&asked, &facts.caller).unwrap_or_else(|message| {
        unclear = Some(message);
        Vec::new()
    });
    if let Some(message) = unclear {
        return Err(wrong(&message, format!("ask about {KINDS}")));
    }
    let mut answers = Vec::new();
    for question in &questions {
        let mut said = answer(question, &about.policy, &facts).map_err(|errors| {
            inspect::tell(&errors, &sources);
            status::NO
        })?;
        // In the words of who asked: constants have names there.
        if matches!(question, Question::Call(_)) {
            said.question.clone_from(&asked);
        }
        said.notes.extend(changed(question, &said, &about));
        answers.push(said);
    }
    let text = if json {
        format!("{:#}\n", to_json(&about, &answers, &sources))
    } else {
        to_text(&about, &answers, &sources, inspect::paint())
    };
    super::super::answer(&text)
}

/// A limit that is another one by now.
fn changed(question: &Question, said: &Answer, about: &Asked) -> Option<String> {
    let Question::Key(Section::Limits, key) = question else {
        return None;
    };
    let record = about.sandbox.as_ref()?.record.as_ref()?;
    let limit = record.limits.iter().find(|limit| limit.key == *key)?;
    let now = recorded::toml_of(&limit.value);
    (now != said.says).then(|| format!("changed since by `sandboxctl set`: it is {now} now"))
}

fn refuse_usage(refusal: &Refusal) -> i32 {
    refuse(refusal);
    status::USAGE
}

fn paths(questions: &[Question]) -> Vec<PathBuf> {
    let paths = questions.iter().filter_map(|question| match question {
        Question::Path(path) => Some(path.clone()),
        _ => None,
    });
    paths.collect()
}

fn profile(names: Vec<String>, sources: &mut SourceMap) -> Result<Asked, i32> {
    match inspect::resolve(&names, &inspect::library(), None, sources) {
        Ok(resolved) => Ok(Asked {
            kind: "profile",
            name: names.join("+"),
            policy: resolved.policy,
            sandbox: None,
        }),
        Err(errors) => {
            inspect::tell(&errors, sources);
            Err(status::USAGE)
        }
    }
}

/// A running sandbox of that name, else the profile.
fn sandbox_or_profile(name: &str, sources: &mut SourceMap) -> Result<Asked, i32> {
    let refusal = match sandbox::find(name) {
        Ok(sandbox) => return running(sandbox, sources).map_err(|error| refuse(&error)),
        Err(refusal) => refusal,
    };
    let several = sandbox::all()
        .sandboxes
        .iter()
        .any(|sandbox| sandbox.name() == name);
    if several {
        return Err(refuse(&refusal));
    }
    let library = inspect::library();
    if name.contains('/') || brief::list(&library).iter().any(|found| found.name == name) {
        return profile(vec![name.to_owned()], sources);
    }
    let mut refusal =
        refusal.help("there is no profile of that name either, see `sandboxctl profiles`");
    refusal.message = format!(
        "`{}` is neither a running sandbox nor a profile",
        escape::line(name)
    );
    Err(refuse(&refusal))
}

fn running(sandbox: Sandbox, sources: &mut SourceMap) -> Result<Asked, Refusal> {
    sandbox.record()?;
    let name = sandbox.name().to_owned();
    let text = sandbox
        .policy
        .as_ref()
        .ok_or_else(|| Refusal::new(format!("the record of `{name}` has no policy")))?;
    let policy = serde_json::from_str(text)
        .map_err(|error| error.to_string())
        .and_then(|json: Json| recorded::read(&json, sources))
        .map_err(|why| {
            Refusal::new(format!(
                "the policy in the record of `{name}` cannot be read: {why}"
            ))
        })?;
    Ok(Asked {
        kind: "sandbox",
        name,
        policy,
        sandbox: Some(sandbox),
    })
}

/// Whose home `~` is and where `.` is, for the sandbox that runs.
fn become_caller(caller: &mut Caller, sandbox: &Sandbox) {
    let confinement = sandbox.confinement.as_deref();
    let started: Option<Confinement> = confinement.and_then(|text| serde_json::from_str(text).ok());
    if let Some(started) = started {
        let directory = PathBuf::from(raw(&started.caller.working_directory));
        if directory.is_absolute() {
            caller.working_directory = directory;
        }
    }
    if sandbox.uid() == caller.uid {
        return;
    }
    caller.uid = sandbox.uid();
    caller.capabilities = 0;
    caller.environment.clear();
    caller.directories.clear();
    let user = nix::unistd::User::from_uid(sandbox.uid().into());
    if let Ok(Some(user)) = user {
        caller.gid = user.gid.as_raw();
        caller.home = user.dir;
        caller.user = user.name;
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allowed => "allowed",
        Verdict::Denied => "denied",
        Verdict::Partly => "partly allowed",
        Verdict::Set => "set",
    }
}

fn line_of(cited: &Cited, sources: &SourceMap, paint: Paint) -> String {
    let rule = escape::line(&cited.rule).into_owned();
    if cited.site.is_default() {
        return format!("{rule}  {}", paint.faint("(no rule says it: it follows)"));
    }
    format!(
        "{rule}  {}",
        paint.faint(&format!("at {}", sources.position(cited.site)))
    )
}

fn to_text(about: &Asked, answers: &[Answer], sources: &SourceMap, paint: Paint) -> String {
    let name = escape::line(&about.name);
    let mut out = paint.faint(&match about.kind {
        "sandbox" => {
            format!("# the running sandbox `{name}`, by the policy that it was started with")
        }
        _ => format!("# the profile `{name}`, as it would be started now"),
    });
    out.push('\n');
    for answer in answers {
        let question = escape::line(&answer.question).into_owned();
        let says = escape::line(&answer.says);
        let verdict = match answer.verdict {
            Verdict::Set => String::new(),
            verdict if says == word(verdict) => word(verdict).to_owned(),
            verdict => format!("{}: ", word(verdict)),
        };
        let says = if verdict == *says {
            String::new()
        } else {
            says.into_owned()
        };
        out.push_str(&format!("{}: {verdict}{says}\n", paint.strong(&question)));
        if let Some(can) = answer.can {
            let word = |can| if can { "yes" } else { "no" };
            out.push_str(&format!(
                "  read {}, write {}, execute {}\n",
                word(can.read),
                word(can.write),
                word(can.execute)
            ));
        }
        match &answer.rule {
            Some(rule) => out.push_str(&format!("  by {}\n", line_of(rule, sources, paint))),
            None => out.push_str("  by no rule: it is the default\n"),
        }
        for beaten in &answer.beaten {
            out.push_str(&format!("  over {}\n", line_of(beaten, sources, paint)));
        }
        for part in &answer.parts {
            out.push_str(&format!(
                "  {}: {}",
                escape::line(&part.what),
                escape::line(&part.says)
            ));
            if let Some(rule) = &part.rule {
                out.push_str(&format!(", by {}", line_of(rule, sources, paint)));
            }
            out.push('\n');
        }
        for note in &answer.notes {
            out.push_str(&format!("  note: {}\n", escape::line(note)));
        }
    }
    out
}

fn cited_json(cited: &Cited, sources: &SourceMap) -> Json {
    let position = (!cited.site.is_default()).then(|| sources.position(cited.site));
    let position = position.as_ref();
    let number = |number: usize| (number > 0).then_some(number);
    json!({
        "rule": cited.rule,
        "source": position.map(|at| &at.name),
        "line": position.and_then(|at| number(at.line)),
        "column": position.and_then(|at| number(at.column)),
    })
}

fn to_json(about: &Asked, answers: &[Answer], sources: &SourceMap) -> Json {
    let cite = |cited: &Cited| cited_json(cited, sources);
    let answers: Vec<Json> = answers
        .iter()
        .map(|answer| {
            let parts: Vec<Json> = answer
                .parts
                .iter()
                .map(|part| {
                    json!({
                        "what": part.what,
                        "verdict": part.verdict,
                        "says": part.says,
                        "rule": part.rule.as_ref().map(cite),
                    })
                })
                .collect();
            json!({
                "kind": answer.kind,
                "question": answer.question,
                "verdict": answer.verdict,
                "says": answer.says,
                "access": answer.can,
                "rule": answer.rule.as_ref().map(cite),
                "beaten": answer.beaten.iter().map(cite).collect::<Vec<_>>(),
                "parts": parts,
                "notes": answer.notes,
            })
        })
        .collect();
    json!({ "asked": { "kind": about.kind, "name": about.name }, "answers": answers })
}
