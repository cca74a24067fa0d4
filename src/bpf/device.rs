//! A list of devices as a program of extended BPF, which a v2 control group asks about each open(2) and mknod(2) of a device
//! (kernel documents admin-guide/cgroup-v2, bpf/standardization/instruction-set).
//!
//! Each rule takes from what is asked for that which it allows. What is left over in the end is refused, all of it: so two
//! rules that allow reading and writing allow both at once, whatever ranges of devices they name.

use crate::section::limits::DeviceRule;

// `struct bpf_cgroup_dev_ctx` of linux/bpf.h: the access in the upper half of its first word, the kind of device in the lower.
const CONTEXT_ACCESS: i16 = 0;
const CONTEXT_MAJOR: i16 = 4;
const CONTEXT_MINOR: i16 = 8;

/// mknod(2).
pub const MAKE: u32 = 1;
/// Opening for reading.
pub const READ: u32 = 2;
/// Opening for writing.
pub const WRITE: u32 = 4;
/// A block device.
pub const BLOCK: u32 = 1;
/// A character device.
pub const CHARACTER: u32 = 2;

// Class, source or size, and operation of an instruction, as far as the program uses them.
const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const COPY: u8 = 0xbf; // BPF_ALU64 | BPF_MOV | BPF_X
const SET: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const AND: u8 = 0x57; // BPF_ALU64 | BPF_AND | BPF_K
const SHIFT_RIGHT: u8 = 0x77; // BPF_ALU64 | BPF_RSH | BPF_K
const JUMP_UNEQUAL: u8 = 0x56; // BPF_JMP32 | BPF_JNE | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

// Registers: the answer and the context are where the kernel wants them.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const LEFT: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// One instruction (`struct bpf_insn`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u8,
    target: u8,
    source: u8,
    offset: i16,
    immediate: i32,
}

impl Instruction {
    const fn new(code: u8, target: u8, immediate: i32) -> Self {
        Self {
            code,
            target,
            source: 0,
            offset: 0,
            immediate,
        }
    }

    const fn load(target: u8, offset: i16) -> Self {
        Self {
            code: LOAD_WORD,
            target,
            source: CONTEXT,
            offset,
            immediate: 0,
        }
    }
}

/// A program that answers 1 to what is allowed, 0 to what is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceProgram {
    instructions: Vec<Instruction>,
}

impl DeviceProgram {
    /// The instructions as they lie in memory, each of eight bytes.
    #[must_use]
    pub fn words(&self) -> Vec<u64> {
        let words = self.instructions.iter().map(|one| {
            let registers = if cfg!(target_endian = "little") {
                one.source << 4 | one.target
            } else {
                one.target << 4 | one.source
            };
            let [a, b] = one.offset.to_ne_bytes();
            let [c, d, e, f] = one.immediate.to_ne_bytes();
            u64::from_ne_bytes([one.code, registers, a, b, c, d, e, f])
        });
        words.collect()
    }
}

/// The program that allows these devices and no others.
#[must_use]
pub fn compile(allowed: &[DeviceRule]) -> DeviceProgram {
    let mut instructions = vec![
        Instruction::load(KIND, CONTEXT_ACCESS),
        Instruction {
            source: KIND,
            ..Instruction::new(COPY, LEFT, 0)
        },
        Instruction::new(SHIFT_RIGHT, LEFT, 16),
        Instruction::new(AND, KIND, 0xffff),
        Instruction::load(MAJOR, CONTEXT_MAJOR),
        Instruction::load(MINOR, CONTEXT_MINOR),
    ];
    for rule in allowed {
        let kind = if rule.block { BLOCK } else { CHARACTER };
        let wanted = [
            Some((KIND, kind)),
            rule.major.map(|major| (MAJOR, major)),
            rule.minor.map(|minor| (MINOR, minor)),
        ];
        let wanted: Vec<(u8, u32)> = wanted.into_iter().flatten().collect();
        let tests = wanted.iter().zip((1..=wanted.len()).rev());
        instructions.extend(tests.map(|((register, value), left)| Instruction {
            // Past the other tests and what follows them; there are three at most.
            offset: i16::try_from(left).unwrap_or(0),
            ..Instruction::new(JUMP_UNEQUAL, *register, value.cast_signed())
        }));
        let given = READ | if rule.write { WRITE } else { 0 } | if rule.make { MAKE } else { 0 };
        instructions.push(Instruction::new(AND, LEFT, (!given).cast_signed()));
    }
    instructions.extend([
        Instruction::new(SET, ANSWER, 0),
        Instruction {
            offset: 1,
            ..Instruction::new(JUMP_UNEQUAL, LEFT, 0)
        },
        Instruction::new(SET, ANSWER, 1),
        Instruction::new(EXIT, 0, 0),
    ]);
    DeviceProgram { instructions }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
#[path = "device_tests.rs"]
mod tests;
