//! Runs a filter as the kernel would, for tests and for questions such as "can our init still call wait4?".

use super::program::{
    AND, DATA_ARCH, DATA_ARGUMENTS, DATA_NUMBER, DATA_POINTER, JEQ, JGE, JGT, JSET, JUMP, LOAD,
    RETURN,
};
use super::{Action, Program};

/// What a filter sees of a call (`struct seccomp_data` of linux/seccomp.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeccompData {
    /// The call's number; the kernel's `int`, taken as unsigned.
    pub number: u32,
    /// An `AUDIT_ARCH_*` value, see [`super::Arch::audit_value`].
    pub arch: u32,
    /// Where the call was made.
    pub instruction_pointer: u64,
    /// Its arguments.
    pub args: [u64; 6],
}

impl SeccompData {
    /// The 32-bit word at an offset, as a little-endian machine lays the structure out.
    fn word(&self, offset: u32) -> Option<u32> {
        let wide = match offset {
            DATA_NUMBER => return Some(self.number),
            DATA_ARCH => return Some(self.arch),
            _ if offset < DATA_POINTER => return None,
            _ if offset < DATA_ARGUMENTS => self.instruction_pointer,
            _ => *self
                .args
                .get(usize::try_from((offset - DATA_ARGUMENTS) / 8).ok()?)?,
        };
        match offset % 8 {
            0 => Some(wide as u32),
            4 => Some((wide >> 32) as u32),
            _ => None,
        }
    }
}

/// The program's answer to a call. A [`Program`] always gives one; should that ever not hold, the answer is the strictest.
pub fn interpret(program: &Program, data: &SeccompData) -> Action {
    run(program, data).unwrap_or(Action::KillProcess)
}

fn run(program: &Program, data: &SeccompData) -> Option<Action> {
    let instructions = program.instructions();
    let mut accumulator = 0_u32;
    let mut next = 0_usize;
    // Jumps lead forward only, so this ends.
    loop {
        let instruction = instructions.get(next)?;
        next += 1;
        let k = instruction.k;
        let holds = match instruction.code {
            LOAD => {
                accumulator = data.word(k)?;
                continue;
            }
            AND => {
                accumulator &= k;
                continue;
            }
            JUMP => {
                next = next.checked_add(usize::try_from(k).ok()?)?;
                continue;
            }
            RETURN => return Action::from_return_value(k),
            JEQ => accumulator == k,
            JGT => accumulator > k,
            JGE => accumulator >= k,
            JSET => accumulator & k != 0,
            _ => return None,
        };
        next += usize::from(if holds {
            instruction.jt
        } else {
            instruction.jf
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{SeccompData, interpret};
    use crate::bpf::program::{AND, Instruction, JEQ, JGE, JGT, JSET, LOAD, RETURN};
    use crate::bpf::{Action, Program};

    const DATA: SeccompData = SeccompData {
        number: 7,
        arch: 9,
        instruction_pointer: 0x1_0000_0002,
        args: [0x3_0000_0004, 0, 0, 0, 0, 0x5_0000_0006],
    };

    fn holds(offset: u32, code: u16, k: u32) -> bool {
        let instructions = vec![
            Instruction::statement(LOAD, offset),
            Instruction {
                code,
                jt: 0,
                jf: 1,
                k,
            },
            Instruction::statement(RETURN, 0x7fff_0000),
            Instruction::statement(RETURN, 0x8000_0000),
        ];
        interpret(&Program::new(instructions).unwrap(), &DATA) == Action::Allow
    }

    #[test]
    fn words_are_those_of_the_kernels_structure() {
        for (offset, value) in [
            (0, 7),
            (4, 9),
            (8, 2),
            (12, 1),
            (16, 4),
            (20, 3),
            (24, 0),
            (56, 6),
            (60, 5),
        ] {
            assert!(holds(offset, JEQ, value), "{offset}");
            assert!(!holds(offset, JEQ, value + 1), "{offset}");
        }
    }

    #[test]
    fn tests_are_unsigned() {
        assert!(holds(0, JGT, 6) && !holds(0, JGT, 7) && !holds(0, JGT, u32::MAX));
        assert!(holds(0, JGE, 7) && !holds(0, JGE, 8));
        assert!(holds(0, JSET, 4 | 8) && !holds(0, JSET, 8));
        let masked = vec![
            Instruction::statement(LOAD, 0),
            Instruction::statement(AND, 3),
            Instruction {
                code: JEQ,
                jt: 1,
                jf: 0,
                k: 3,
            },
            Instruction::statement(RETURN, 0x8000_0000),
            Instruction::statement(RETURN, 0x7fff_0000),
        ];
        assert_eq!(
            interpret(&Program::new(masked).unwrap(), &DATA),
            Action::Allow
        );
    }
}
