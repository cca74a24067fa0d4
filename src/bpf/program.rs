//! A seccomp filter in the kernel's form, and how it is shown.

use std::fmt;

use super::{Action, Arch, SeccompData, interpret};

/// The longest program that the kernel takes (`BPF_MAXINSNS` of linux/bpf_common.h).
pub const MAX_INSTRUCTIONS: usize = 4096;

// linux/bpf_common.h: class, size, mode, operation and source of an instruction, as far as filters use them.
pub(super) const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
pub(super) const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
pub(super) const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
pub(super) const JEQ: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
pub(super) const JGT: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
pub(super) const JGE: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
pub(super) const JSET: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
pub(super) const RETURN: u16 = 0x06; // BPF_RET | BPF_K

// struct seccomp_data of linux/seccomp.h, little endian.
pub(super) const DATA_NUMBER: u32 = 0;
pub(super) const DATA_ARCH: u32 = 4;
pub(super) const DATA_POINTER: u32 = 8;
pub(super) const DATA_ARGUMENTS: u32 = 16;
pub(super) const DATA_SIZE: u32 = 64;

/// One instruction of classic BPF (`struct sock_filter` of linux/filter.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// Instructions skipped when its test holds.
    pub jt: u8,
    /// Instructions skipped when it does not.
    pub jf: u8,
    /// Its operand.
    pub k: u32,
}

impl Instruction {
    pub(super) const fn statement(code: u16, k: u32) -> Self {
        Self {
            code,
            jt: 0,
            jf: 0,
            k,
        }
    }
}

/// Why instructions are no program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// There are none, or more than [`MAX_INSTRUCTIONS`].
    Length(usize),
    /// This instruction is unknown, leaves the program or reads outside of `struct seccomp_data`.
    Instruction(usize),
    /// The last instruction is no return.
    End,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(
                f,
                "a filter has 1 to {MAX_INSTRUCTIONS} instructions, not {length}"
            ),
            Self::Instruction(index) => write!(f, "instruction {index} of the filter is invalid"),
            Self::End => f.write_str("the filter does not end with a return"),
        }
    }
}

impl std::error::Error for Malformed {}

/// A filter that the kernel takes: every path through it ends with a return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
}

impl Program {
    /// Checks what the kernel checks before it takes a filter (`bpf_check_classic`, `seccomp_check_filter`), narrowed to
    /// the instructions and answers that [`super::compile`] makes; for programs that were stored.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn new(instructions: Vec<Instruction>) -> Result<Self, Malformed> {
        let length = instructions.len();
        if !(1..=MAX_INSTRUCTIONS).contains(&length) {
            return Err(Malformed::Length(length));
        }
        for (index, instruction) in instructions.iter().enumerate() {
            let behind = length - index - 1;
            let valid = match instruction.code {
                LOAD => instruction.k.is_multiple_of(4) && instruction.k < DATA_SIZE,
                AND => true,
                RETURN => Action::from_return_value(instruction.k).is_some(),
                JUMP => usize::try_from(instruction.k).is_ok_and(|skipped| skipped < behind),
                JEQ | JGT | JGE | JSET => usize::from(instruction.jt.max(instruction.jf)) < behind,
                _ => false,
            };
            if !valid {
                return Err(Malformed::Instruction(index));
            }
        }
        match instructions.last() {
            Some(last) if last.code == RETURN => Ok(Self { instructions }),
            _ => Err(Malformed::End),
        }
    }

    /// The same for who makes one call besides, whatever this says about it: it is let through.
    ///
    /// # Errors
    /// It would be longer than the kernel takes.
    pub fn with_call(&self, call: &str, arch: Arch) -> Result<Self, Malformed> {
        let Some(number) = arch.number(call) else {
            return Ok(self.clone());
        };
        let test = |k, jf| Instruction {
            code: JEQ,
            jt: 0,
            jf,
            k,
        };
        let allow = Action::Allow.to_return_value().unwrap_or_default();
        let mut instructions = vec![
            Instruction::statement(LOAD, DATA_ARCH),
            test(arch.audit_value(), 3),
            Instruction::statement(LOAD, DATA_NUMBER),
            test(number, 1),
            Instruction::statement(RETURN, allow),
        ];
        // What follows loads what it tests.
        instructions.extend(&self.instructions);
        Self::new(instructions)
    }

    /// The instructions, for the kernel.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// What happens to a call by name; `None` when the architecture has no such call.
    pub fn verdict_for(&self, call: &str, arch: Arch, args: [u64; 6]) -> Option<Action> {
        let number = arch.number(call)?;
        Some(interpret(
            self,
            &SeccompData {
                number,
                arch: arch.audit_value(),
                instruction_pointer: 0,
                args,
            },
        ))
    }

    /// Whether a call by number is made, with all arguments 0.
    pub fn allows(&self, arch: Arch, number: u32) -> bool {
        interpret(
            self,
            &SeccompData {
                number,
                arch: arch.audit_value(),
                instruction_pointer: 0,
                args: [0; 6],
            },
        )
        .permits()
    }

    /// The actions that the program can answer with, each once.
    pub fn actions(&self) -> Vec<Action> {
        let returns = self
            .instructions
            .iter()
            .filter(|instruction| instruction.code == RETURN);
        let mut actions: Vec<_> = returns
            .filter_map(|instruction| Action::from_return_value(instruction.k))
            .collect();
        actions.sort_by_key(|action| action.strictness());
        actions.dedup();
        actions
    }
}

/// A line per instruction: its index, what it does, and for branches where they lead.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Instruction { code, jt, jf, k }) in self.instructions.iter().enumerate() {
            let to = |skipped: u32| index + 1 + skipped as usize;
            write!(f, "{index:4}: ")?;
            let test = match *code {
                LOAD => {
                    writeln!(f, "load {}", Field(*k))?;
                    continue;
                }
                AND => {
                    writeln!(f, "and {k:#x}")?;
                    continue;
                }
                RETURN => {
                    match Action::from_return_value(*k) {
                        Some(action) => writeln!(f, "return {action}")?,
                        None => writeln!(f, "return {k:#x}")?,
                    }
                    continue;
                }
                JUMP => {
                    writeln!(f, "go to {}", to(*k))?;
                    continue;
                }
                JEQ => "==",
                JGT => ">",
                JGE => ">=",
                JSET => "&",
                _ => "?",
            };
            match Arch::ALL
                .iter()
                .find(|arch| *code == JEQ && arch.audit_value() == *k)
            {
                Some(arch) => write!(f, "if {test} {arch}")?,
                None => write!(f, "if {test} {k:#x}")?,
            }
            writeln!(f, " go to {}, else {}", to((*jt).into()), to((*jf).into()))?;
        }
        Ok(())
    }
}

/// A word of `struct seccomp_data` by name.
struct Field(u32);

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let half = |offset: u32| {
            if offset.is_multiple_of(8) {
                "low"
            } else {
                "high"
            }
        };
        match self.0 {
            DATA_NUMBER => f.write_str("number"),
            DATA_ARCH => f.write_str("architecture"),
            offset if offset < DATA_ARGUMENTS => write!(f, "instruction pointer, {}", half(offset)),
            offset => write!(
                f,
                "argument {}, {}",
                (offset - DATA_ARGUMENTS) / 8,
                half(offset)
            ),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Instruction, JEQ, JUMP, LOAD, MAX_INSTRUCTIONS, Malformed, Program, RETURN};

    const ALLOW: Instruction = Instruction::statement(RETURN, 0x7fff_0000);

    #[test]
    fn only_what_the_kernel_takes_is_a_program() {
        assert!(Program::new(vec![ALLOW]).is_ok());
        assert_eq!(Program::new(vec![]), Err(Malformed::Length(0)));
        assert_eq!(
            Program::new(vec![ALLOW; 4097]),
            Err(Malformed::Length(4097))
        );
        assert!(Program::new(vec![ALLOW; MAX_INSTRUCTIONS]).is_ok());
        assert_eq!(
            Program::new(vec![Instruction::statement(LOAD, 0)]),
            Err(Malformed::End)
        );
        for bad in [
            Instruction::statement(LOAD, 64),
            Instruction::statement(LOAD, 2),
            Instruction::statement(JUMP, 1),
            Instruction::statement(JUMP, u32::MAX),
            Instruction {
                code: JEQ,
                jt: 1,
                jf: 0,
                k: 0,
            },
            Instruction {
                code: JEQ,
                jt: 0,
                jf: 1,
                k: 0,
            },
            Instruction::statement(RETURN, 0x7ff0_0000),
            Instruction::statement(0x07, 0),
        ] {
            assert_eq!(
                Program::new(vec![bad, ALLOW]),
                Err(Malformed::Instruction(0)),
                "{bad:?}"
            );
        }
        assert!(Program::new(vec![Instruction::statement(JUMP, 0), ALLOW]).is_ok());
    }
}
