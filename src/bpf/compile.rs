//! From rules to a program: an architecture switch, then for each architecture a balanced tree over ranges of numbers with
//! equal answers. x32 numbers and unknown ones are ranges like any other.

use std::fmt;

use seccompiler::{BpfProgram, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

use super::answer::{Answer, Rules};
use super::arch::{X32_END, X32_FIRST};
use super::argument::{Comparison, Condition};
use super::assemble::{Assembler, Target};
use super::constants::ENOSYS;
use super::implied::{self, Answers, Implied};
use super::program::{
    DATA_ARCH, DATA_ARGUMENTS, DATA_NUMBER, Instruction, JSET, JUMP, LOAD, MAX_INSTRUCTIONS, RETURN,
};
use super::{Action, Arch, Filter, Key, Malformed, Program};

/// A filter ready to install, and what it does beyond its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The program for the kernel.
    pub program: Program,
    /// Answers that no rule asked for.
    pub implied: Vec<Implied>,
}

/// Why rules make no filter. `rule` is an index into [`Filter::rules`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompileError {
    /// No architecture is named.
    NoArchitecture,
    /// An architecture is named twice.
    ArchitectureTwice(Arch),
    /// No architecture has this call.
    UnknownCall {
        /// Which rule.
        rule: usize,
        /// The name.
        call: String,
    },
    /// Only architectures that are not enabled have this call.
    NotOnArchitecture {
        /// Which rule.
        rule: usize,
        /// The name.
        call: String,
        /// The architectures that have it.
        known_on: Vec<Arch>,
        /// The architectures of the filter.
        enabled: Vec<Arch>,
    },
    /// There is no such group.
    UnknownGroup {
        /// Which rule.
        rule: usize,
        /// The name.
        group: String,
    },
    /// An errno is not between 1 and 4095.
    Errno {
        /// Which rule; `None` for the default.
        rule: Option<usize>,
        /// The number.
        number: i32,
    },
    /// The kernel takes no program of this length.
    TooLong {
        /// In instructions.
        length: usize,
    },
    /// The compiler made something wrong; a bug.
    Broken(String),
}

impl CompileError {
    /// The rule that is wrong, as an index into [`Filter::rules`].
    pub fn rule(&self) -> Option<usize> {
        match self {
            Self::UnknownCall { rule, .. }
            | Self::NotOnArchitecture { rule, .. }
            | Self::UnknownGroup { rule, .. } => Some(*rule),
            Self::Errno { rule, .. } => *rule,
            Self::NoArchitecture
            | Self::ArchitectureTwice(_)
            | Self::TooLong { .. }
            | Self::Broken(_) => None,
        }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |arches: &[Arch]| {
            arches
                .iter()
                .map(|arch| format!("`{arch}`"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        match self {
            Self::NoArchitecture => f.write_str("the filter is for no architecture"),
            Self::ArchitectureTwice(arch) => write!(f, "the architecture `{arch}` is named twice"),
            Self::UnknownCall { call, .. } => {
                write!(f, "there is no system call `{}`", call.escape_debug())
            }
            Self::NotOnArchitecture {
                call,
                known_on,
                enabled,
                ..
            } => write!(
                f,
                "`{}` is a system call of {} only, the filter is for {}\nadd the architecture to `architectures` or remove the rule",
                call.escape_debug(),
                list(known_on),
                list(enabled)
            ),
            Self::UnknownGroup { group, .. } => {
                write!(f, "there is no group `{}`", group.escape_debug())
            }
            Self::Errno { number, .. } => write!(f, "{number} is no errno: they go from 1 to 4095"),
            Self::TooLong { length } => write!(
                f,
                "the filter needs {length} instructions, the kernel takes {MAX_INSTRUCTIONS}\nuse fewer rules on arguments or fewer architectures"
            ),
            Self::Broken(what) => write!(f, "the filter compiler is wrong: {what}"),
        }
    }
}

impl std::error::Error for CompileError {}

/// Compiles rules to a program for seccomp(2).
///
/// # Errors
/// See [`CompileError`]. Nothing is left out in silence.
pub fn compile(filter: &Filter) -> Result<Compiled, CompileError> {
    check(filter)?;
    let rules = Rules::new(filter)?;
    let mut implied = implied::around(&filter.architectures);
    let mut answered = Vec::with_capacity(filter.architectures.len());
    for arch in &filter.architectures {
        let mut answers = Answers::new(*arch, &rules);
        for note in implied::imply(*arch, &rules, &mut answers) {
            if !implied.contains(&note) {
                implied.push(note);
            }
        }
        answered.push((*arch, answers));
    }
    let branches = answered.iter();
    let branches = branches.map(|(arch, answers)| (*arch, ranges(*arch, answers)));
    let instructions = assemble(branches.rev())?;
    match Program::new(instructions) {
        Ok(program) => Ok(Compiled { program, implied }),
        Err(Malformed::Length(length)) => Err(CompileError::TooLong { length }),
        Err(other) => Err(CompileError::Broken(other.to_string())),
    }
}

fn check(filter: &Filter) -> Result<(), CompileError> {
    let arches = &filter.architectures;
    if arches.is_empty() {
        return Err(CompileError::NoArchitecture);
    }
    if let Some((_, twice)) = arches
        .iter()
        .enumerate()
        .find(|(index, arch)| arches.iter().take(*index).any(|other| other == *arch))
    {
        return Err(CompileError::ArchitectureTwice(*twice));
    }
    let actions = filter
        .rules
        .iter()
        .enumerate()
        .map(|(index, rule)| (Some(index), rule.action));
    for (rule, action) in actions.chain([(None, filter.default)]) {
        if let Action::Errno(number) = action
            && !action.is_valid()
        {
            return Err(CompileError::Errno { rule, number });
        }
    }
    for (index, rule) in filter.rules.iter().enumerate() {
        let (Key::Call(_) | Key::CallWithArguments(_)) = &rule.key else {
            continue;
        };
        let call = rule.key.call().unwrap_or_default();
        if arches.iter().any(|arch| arch.number(call).is_some()) {
            continue;
        }
        let known_on: Vec<_> = Arch::ALL
            .into_iter()
            .filter(|arch| arch.number(call).is_some())
            .collect();
        if known_on.is_empty() {
            return Err(CompileError::UnknownCall {
                rule: index,
                call: call.to_owned(),
            });
        }
        return Err(CompileError::NotOnArchitecture {
            rule: index,
            call: call.to_owned(),
            known_on,
            enabled: arches.clone(),
        });
    }
    Ok(())
}

/// Numbers from `first` up to the next range have this answer.
struct Span<'f> {
    first: u32,
    answer: &'f Answer<'f>,
}

/// What the numbers that mean nothing are answered.
static UNKNOWN: Answer<'static> = Answer::always(Action::Errno(ENOSYS));
/// What the numbers of x32 calls are answered.
static X32: Answer<'static> = Answer::always(Action::KillProcess);

/// All numbers of an architecture, gaps filled, neighbours with equal answers joined.
fn ranges<'f>(arch: Arch, answers: &'f Answers<'f>) -> Vec<Span<'f>> {
    let mut spans: Vec<Span<'f>> = Vec::new();
    let mut put = |first, answer: &'f Answer<'f>| {
        let same = |last: &Span<'f>| std::ptr::eq(last.answer, answer) || last.answer == answer;
        if !spans.last().is_some_and(same) {
            spans.push(Span { first, answer });
        }
    };
    let mut next = 0;
    for (number, answer) in answers.by_number() {
        if number > next {
            put(next, &UNKNOWN);
        }
        put(number, answer);
        next = number + 1;
    }
    put(next, &UNKNOWN);
    if arch == Arch::X86_64 {
        put(X32_FIRST, &X32);
        put(X32_END, &UNKNOWN);
    }
    spans
}

/// The program of all architectures; the last one comes first.
fn assemble<'f>(
    branches: impl Iterator<Item = (Arch, Vec<Span<'f>>)>,
) -> Result<Vec<Instruction>, CompileError> {
    let mut assembler = Assembler::default();
    let mut bodies = Vec::new();
    for (arch, spans) in branches {
        let root = tree(&mut assembler, &spans)?;
        assembler.fall_into(root);
        bodies.push((
            arch,
            assembler.push(Instruction::statement(LOAD, DATA_NUMBER)),
        ));
    }
    let mut next = Target::Return(encode(Action::KillProcess)?);
    for (arch, body) in bodies {
        next = assembler.equal(arch.audit_value(), body, next);
    }
    assembler.push(Instruction::statement(LOAD, DATA_ARCH));
    Ok(assembler.finish())
}

fn tree(assembler: &mut Assembler, spans: &[Span<'_>]) -> Result<Target, CompileError> {
    match spans {
        [] => Err(CompileError::Broken("a range without an answer".into())),
        [one] => leaf(assembler, one.answer),
        _ => {
            let (below, above) = spans.split_at(spans.len() / 2);
            let first = above.first().map(|span| span.first).unwrap_or_default();
            let then = tree(assembler, above)?;
            let otherwise = tree(assembler, below)?;
            Ok(assembler.at_least(first, then, otherwise))
        }
    }
}

fn leaf(assembler: &mut Assembler, answer: &Answer<'_>) -> Result<Target, CompileError> {
    if answer.conditional.is_empty() {
        return Ok(Target::Return(encode(answer.otherwise)?));
    }
    let otherwise = Instruction::statement(RETURN, encode(answer.otherwise)?);
    let mut entry = assembler.push(otherwise);
    for (conditions, action) in answer.conditional.iter().rev() {
        assembler.push(Instruction::statement(RETURN, encode(*action)?));
        let mut block = fragment(conditions)?;
        let first = block.remove(0);
        assembler.push_all(&block);
        entry = assembler.push(first);
    }
    Ok(entry)
}

fn encode(action: Action) -> Result<u32, CompileError> {
    action
        .to_return_value()
        .ok_or_else(|| CompileError::Broken(format!("the answer {action}")))
}

/// A block that falls through when all conditions hold and else skips the instruction behind it. That is also how
/// seccompiler's conditions leave a rule; "any of these bits" is the one test it lacks, so those come first, in our own words.
fn fragment(conditions: &[Condition]) -> Result<Vec<Instruction>, CompileError> {
    let (bits, others): (Vec<_>, Vec<_>) = conditions
        .iter()
        .partition(|condition| condition.comparison == Comparison::AnyBitOf);
    let mut block = Vec::new();
    if !others.is_empty() {
        let conditions = others
            .into_iter()
            .map(translate)
            .collect::<Result<Vec<_>, _>>()?;
        let program = BpfProgram::from(SeccompRule::new(conditions).map_err(broken)?);
        let mut program = program.iter().map(|one| Instruction {
            code: one.code,
            jt: one.jt,
            jf: one.jf,
            k: one.k,
        });
        // A rule begins with a jump over a jump. The second is for chains of seccompiler's own and leads beyond the answer
        // that follows here, so the kernel would refuse it at the end of a program.
        let entry = (program.next(), program.next());
        match entry {
            (
                Some(Instruction {
                    code: JUMP, k: 1, ..
                }),
                Some(Instruction { code: JUMP, .. }),
            ) => block.extend(program),
            _ => {
                return Err(CompileError::Broken(
                    "seccompiler lays rules out in another way".into(),
                ));
            }
        }
    }
    for condition in bits {
        let mut test = any_bit_of(condition);
        let behind = u32::try_from(block.len()).map_err(|_| CompileError::TooLong {
            length: block.len(),
        })?;
        test.push(Instruction::statement(JUMP, behind + 1));
        test.append(&mut block);
        block = test;
    }
    if block.is_empty() {
        Err(CompileError::Broken("a rule without conditions".into()))
    } else {
        Ok(block)
    }
}

fn broken(error: seccompiler::BackendError) -> CompileError {
    CompileError::Broken(error.to_string())
}

/// Skips the instruction behind it when a bit is set.
fn any_bit_of(condition: &Condition) -> Vec<Instruction> {
    let low = DATA_ARGUMENTS + u32::from(condition.index) * 8;
    let mut test = Vec::new();
    if condition.wide {
        test.push(Instruction::statement(LOAD, low + 4));
        test.push(Instruction {
            code: JSET,
            jt: 3,
            jf: 0,
            k: (condition.value >> 32) as u32,
        });
    }
    test.push(Instruction::statement(LOAD, low));
    test.push(Instruction {
        code: JSET,
        jt: 1,
        jf: 0,
        k: condition.value as u32,
    });
    test
}

fn translate(condition: &Condition) -> Result<SeccompCondition, CompileError> {
    let width = if condition.wide {
        SeccompCmpArgLen::Qword
    } else {
        SeccompCmpArgLen::Dword
    };
    let operator = match condition.comparison {
        Comparison::Equal => SeccompCmpOp::Eq,
        Comparison::NotEqual => SeccompCmpOp::Ne,
        Comparison::Less => SeccompCmpOp::Lt,
        Comparison::LessOrEqual => SeccompCmpOp::Le,
        Comparison::Greater => SeccompCmpOp::Gt,
        Comparison::GreaterOrEqual => SeccompCmpOp::Ge,
        // `MaskedEq` would ask for all of the bits.
        Comparison::AnyBitOf => {
            return Err(CompileError::Broken(
                "a test of bits given to seccompiler".into(),
            ));
        }
    };
    SeccompCondition::new(condition.index, width, operator, condition.value).map_err(broken)
}
