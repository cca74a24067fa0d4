//! An assembler that works from the end of the program to its beginning: jumps only lead forward, so every target is known
//! when the jump is written, and one that lies too far gets a trampoline right behind the branch.

use std::collections::BTreeMap;

use super::program::{Instruction, JEQ, JGE, JUMP, RETURN};

/// Where a branch leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A return instruction with this value, wherever one is near.
    Return(u32),
    /// An instruction, counted from the end of the program.
    At(usize),
}

/// The farthest that a branch may lead; jump distances have 8 bits, and the other side of a branch may still need one
/// instruction in between.
const REACH: usize = 250;

/// A program in the making, last instruction first.
#[derive(Default)]
pub(super) struct Assembler {
    reversed: Vec<Instruction>,
    returns: BTreeMap<u32, usize>,
}

impl Assembler {
    /// Puts one instruction before all others.
    pub(super) fn push(&mut self, instruction: Instruction) -> Target {
        self.reversed.push(instruction);
        Target::At(self.reversed.len() - 1)
    }

    /// Puts several, in the order in which they run.
    pub(super) fn push_all(&mut self, block: &[Instruction]) {
        self.reversed.extend(block.iter().rev());
    }

    /// Continues at `then` when the accumulator is at least `value`, at `otherwise` when it is below.
    pub(super) fn at_least(&mut self, value: u32, then: Target, otherwise: Target) -> Target {
        self.branch(JGE, value, then, otherwise)
    }

    /// Continues at `then` when the accumulator is `value`, else at `otherwise`.
    pub(super) fn equal(&mut self, value: u32, then: Target, otherwise: Target) -> Target {
        self.branch(JEQ, value, then, otherwise)
    }

    /// Makes a target an instruction that can follow at once.
    pub(super) fn fall_into(&mut self, target: Target) -> Target {
        match target {
            Target::At(position) if position + 1 == self.reversed.len() => target,
            Target::At(position) => self.jump(position),
            Target::Return(value) => self.push(Instruction::statement(RETURN, value)),
        }
    }

    fn branch(&mut self, code: u16, value: u32, then: Target, otherwise: Target) -> Target {
        let then = self.reach(then);
        let otherwise = self.reach(otherwise);
        let (jt, jf) = (self.distance(then), self.distance(otherwise));
        self.push(Instruction {
            code,
            jt,
            jf,
            k: value,
        })
    }

    fn reach(&mut self, target: Target) -> usize {
        let here = self.reversed.len();
        match target {
            Target::At(position) if here - position <= REACH => position,
            Target::At(position) => {
                self.jump(position);
                here
            }
            Target::Return(value) => match self.returns.get(&value) {
                Some(position) if here - position <= REACH => *position,
                _ => {
                    self.push(Instruction::statement(RETURN, value));
                    self.returns.insert(value, here);
                    here
                }
            },
        }
    }

    fn jump(&mut self, position: usize) -> Target {
        let skipped = u32::try_from(self.reversed.len() - position - 1).unwrap_or(u32::MAX);
        self.push(Instruction::statement(JUMP, skipped))
    }

    /// At most `REACH`, by `reach`.
    fn distance(&self, position: usize) -> u8 {
        u8::try_from(self.reversed.len() - position - 1).unwrap_or(u8::MAX)
    }

    pub(super) fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }
}
