//! `[syscalls]`: the system call filter.

use crate::bpf::{self, Action, Arch, Compiled, Filter, Implied, Key, Program};
use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::value::Value;
use crate::report::{Diagnostic, Diagnostics, Site};

/// The filter to be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterPlan {
    /// For the kernel.
    pub program: Program,
    /// What calls are answered that no rule covers.
    pub default: Action,
    /// The architectures whose calls are filtered rather than killed.
    pub architectures: Vec<Arch>,
    /// How many rules it was made of.
    pub rules: usize,
    /// Answers that no rule asked for.
    pub implied: Vec<Implied>,
}

/// What the launcher's own process 1 calls under the program's filter.
const NEEDED_BY_INIT: &[&str] = &["rt_sigtimedwait", "waitid", "kill", "exit_group"];
/// What it calls in addition when the program has a terminal of its own.
const NEEDED_FOR_TERMINAL: &[&str] = &["ioctl", "write"];
/// What is called between the filter and the program.
const NEEDED_BY_EXEC: &[&str] = &["execve"];

/// Whether an own process 1 will run under the filter, and with what.
#[derive(Clone, Copy, Debug, Default)]
pub struct Company {
    /// Our process 1 runs under the same filter.
    pub init: bool,
    /// It also looks after a terminal.
    pub terminal: bool,
}

/// Compiles the section; `None` when it says nothing.
///
/// # Errors
/// Rules that make no filter, or one under which the sandbox itself could not work.
pub fn lower(policy: &Policy, company: Company) -> Result<Option<FilterPlan>, Diagnostics> {
    let Some(Said { filter, keys }) = said(policy)? else {
        return Ok(None);
    };
    let Compiled { program, implied } = bpf::compile(&filter).map_err(|error| {
        let site = error.rule().and_then(|rule| keys.get(rule));
        vec![match site {
            Some((_, site)) => Diagnostic::error(error.to_string(), *site, "this rule"),
            None => Diagnostic::general(format!("the system call filter cannot be made: {error}")),
        }]
    })?;
    let plan = FilterPlan {
        program,
        default: filter.default,
        rules: filter.rules.len(),
        architectures: filter.architectures,
        implied,
    };
    check_company(&plan, policy, company)?;
    Ok(Some(plan))
}

/// What the section says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// For the compiler.
    pub filter: Filter,
    /// The key of each of the filter's rules as the policy has it, and where it stands.
    pub keys: Vec<(String, Site)>,
}

/// Reads the section; `None` when it says nothing.
///
/// # Errors
/// Keys that are no system calls, unknown architectures.
pub fn said(policy: &Policy) -> Result<Option<Said>, Diagnostics> {
    if !policy.mentions(Section::Syscalls) {
        return Ok(None);
    }
    let Some(native) = Arch::native() else {
        return Err(vec![Diagnostic::general(
            "system call filters cannot be made for this machine's architecture",
        )]);
    };
    let mut default = Action::Allow;
    let mut architectures = vec![native];
    let mut rules = Vec::new();
    let mut keys = Vec::new();
    let mut errors = Diagnostics::new();
    for (key, value, rule) in policy.section(Section::Syscalls) {
        match value {
            Value::Syscall(action) if key == "default" => default = *action,
            Value::Syscall(action) => match Key::parse(key) {
                Ok(parsed) => {
                    rules.push(bpf::Rule {
                        key: parsed,
                        action: *action,
                    });
                    keys.push((key.to_owned(), rule.key_site));
                }
                Err(error) => {
                    let nearest = error.nearest.map(|name| format!("did you mean `{name}`?"));
                    let mut told =
                        Diagnostic::error(error.message, rule.key_site, "not a system call");
                    told.help.extend(nearest.into_iter().chain(error.help));
                    errors.push(told);
                }
            },
            Value::List(names) => {
                for name in names {
                    match Arch::parse(&name.value) {
                        Some(arch) if !architectures.contains(&arch) => architectures.push(arch),
                        Some(_) => {}
                        None => errors.push(Diagnostic::error(
                            "unknown architecture",
                            name.site,
                            "unknown",
                        )),
                    }
                }
            }
            _ => {}
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Some(Said {
        filter: Filter {
            default,
            architectures,
            rules,
        },
        keys,
    }))
}

impl FilterPlan {
    /// Whether our process 1 can do its work under it; `terminal`: also where it looks after one.
    #[must_use]
    pub fn permits_init(&self, terminal: bool) -> bool {
        let company = Company {
            init: true,
            terminal,
        };
        forbidden(self, company).is_empty()
    }
}

/// The calls without which the sandbox could not be started or not be looked after, as far as the filter forbids them.
fn forbidden(plan: &FilterPlan, company: Company) -> Vec<&'static str> {
    let mut needed = NEEDED_BY_EXEC.to_vec();
    if company.init {
        needed.extend(NEEDED_BY_INIT);
    }
    if company.init && company.terminal {
        needed.extend(NEEDED_FOR_TERMINAL);
    }
    needed.retain(|call| {
        let native = plan.architectures.first().copied();
        let verdict = native.and_then(|arch| plan.program.verdict_for(call, arch, [0; 6]));
        !verdict.is_some_and(Action::permits)
    });
    needed
}

/// A filter that stops what works under it would end in a sandbox that hangs or dies without a word.
fn check_company(plan: &FilterPlan, policy: &Policy, company: Company) -> Result<(), Diagnostics> {
    let needed = forbidden(plan, company);
    if needed.is_empty() {
        return Ok(());
    }
    let calls = needed.join("`, `");
    let site = site_of(policy, &needed);
    Err(vec![
        Diagnostic::error(
            format!("the filter forbids `{calls}`, without which no sandbox can be started"),
            site,
            "forbidden by this",
        )
        .help(format!("add {}", needed.iter().map(|call| format!("{call} = \"allow\"")).collect::<Vec<_>>().join(", ")))
        .help(if company.init && !needed.contains(&"execve") {
            "these are calls of process 1 (waiting, signals); with `process.init = false` the program does without it"
        } else {
            "the program itself is started by execve"
        }),
    ])
}

/// The rule that most likely forbids a call: its own, else the default.
fn site_of(policy: &Policy, calls: &[&str]) -> Site {
    calls
        .iter()
        .find_map(|call| policy.get(Section::Syscalls, call))
        .or_else(|| policy.get(Section::Syscalls, "default"))
        .map(|said| said.site)
        .or_else(|| {
            policy
                .section(Section::Syscalls)
                .next()
                .map(|(_, _, rule)| rule.site)
        })
        .unwrap_or(Site::DEFAULT)
}
