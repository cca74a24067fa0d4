//! Filters of processes of ours, which make few calls: those are listed, and no other is made.

use super::program::{DATA_ARCH, DATA_ARGUMENTS, DATA_NUMBER, JEQ, JSET, LOAD, RETURN};
use super::{Action, Arch, Instruction, Malformed, Program};

/// What has to hold for an argument of a call; of the low 32 bits, which is all that the kernel reads of those that are
/// tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// The argument of this index is this value.
    Is(u8, u32),
    /// It has one of these bits.
    Has(u8, u32),
    /// It has none of these bits.
    Lacks(u8, u32),
}

/// A call that is listed.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// The call's number.
    pub number: u32,
    /// All of these have to hold.
    pub tests: &'static [Test],
}

/// The filter that lets calls through for which an entry fits, and answers any other with `otherwise`. A call of another
/// architecture kills the process.
///
/// # Errors
/// Too many entries for the kernel.
pub fn only<'l>(
    arch: Arch,
    listed: impl IntoIterator<Item = &'l Listed>,
    otherwise: Action,
) -> Result<Program, Malformed> {
    let jump = |code, jt, jf, k| Instruction { code, jt, jf, k };
    // An errno that is none would be let through.
    let kill = Action::KillProcess.to_return_value().unwrap_or_default();
    let answer = |action: Action| {
        let value = action.to_return_value().unwrap_or(kill);
        Instruction::statement(RETURN, value)
    };
    let mut program = vec![
        Instruction::statement(LOAD, DATA_ARCH),
        jump(JEQ, 1, 0, arch.audit_value()),
        answer(Action::KillProcess),
        Instruction::statement(LOAD, DATA_NUMBER),
    ];
    for Listed { number, tests } in listed {
        // With tests, the number has to be loaded again behind them.
        let length = match tests.len() {
            0 => 1,
            tests => 2 * tests + 2,
        };
        let length = u8::try_from(length).map_err(|_| Malformed::Length(length))?;
        program.push(jump(JEQ, 0, length, *number));
        for (done, test) in tests.iter().enumerate() {
            let (code, index, value, holds) = match *test {
                Test::Is(index, value) => (JEQ, index, value, true),
                Test::Has(index, bits) => (JSET, index, bits, true),
                Test::Lacks(index, bits) => (JSET, index, bits, false),
            };
            // The low half comes first: all architectures here are little endian.
            let at = DATA_ARGUMENTS + 8 * u32::from(index);
            program.push(Instruction::statement(LOAD, at));
            // Over the tests that are left and the answer.
            let over = u8::try_from(2 * (tests.len() - done - 1) + 1)
                .map_err(|_| Malformed::Length(tests.len()))?;
            program.push(match holds {
                true => jump(code, 0, over, value),
                false => jump(code, over, 0, value),
            });
        }
        program.push(answer(Action::Allow));
        if !tests.is_empty() {
            program.push(Instruction::statement(LOAD, DATA_NUMBER));
        }
    }
    program.push(answer(otherwise));
    Program::new(program)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::bpf::{SeccompData, interpret};

    #[test]
    fn what_fits_is_let_through() {
        const DENIED: Action = Action::Errno(1);
        let listed = [
            (3, &[][..]),
            (5, &[Test::Is(1, 7), Test::Lacks(2, 6)]),
            (5, &[Test::Has(0, 8)]),
        ];
        let listed = listed.map(|(number, tests)| Listed { number, tests });
        let program = only(Arch::X86_64, &listed, DENIED).unwrap();
        let answer = |arch: Arch, number, args: [u64; 3]| {
            let [a, b, c] = args;
            let data = SeccompData {
                number,
                arch: arch.audit_value(),
                instruction_pointer: 0,
                args: [a, b, c, 0, 0, 0],
            };
            interpret(&program, &data)
        };
        for (number, args, expected) in [
            (3, [1, 2, 3], Action::Allow),
            (4, [0; 3], DENIED),
            (5, [0, 7, 9], Action::Allow),
            (5, [0, 7, 2], DENIED),
            (5, [8, 7, 4], Action::Allow),
            (5, [9, 8, 0], Action::Allow),
            (5, [0, 8, 0], DENIED),
            // As the x32 calls are numbered.
            (0x4000_0003, [0; 3], DENIED),
        ] {
            assert_eq!(
                answer(Arch::X86_64, number, args),
                expected,
                "{number} {args:?}"
            );
        }
        assert_eq!(answer(Arch::X86, 3, [0; 3]), Action::KillProcess);
    }
}
