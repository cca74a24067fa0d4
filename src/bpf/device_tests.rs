//! The program against what its rules mean, by an interpreter of the few instructions that it is made of.

use super::*;

/// What the program answers; it must end, and read nothing that it has not set.
fn interpret(program: &DeviceProgram, access: u32, kind: u32, major: u32, minor: u32) -> u64 {
    let context = [access << 16 | kind, major, minor];
    let mut registers: [Option<u64>; 11] = [None; 11];
    registers[usize::from(CONTEXT)] = Some(0);
    let mut at = 0_usize;
    for _ in 0..10_000 {
        let word = program.words()[at].to_le_bytes();
        let (code, target, source) = (
            word[0],
            usize::from(word[1] & 15),
            usize::from(word[1] >> 4),
        );
        let offset = i16::from_le_bytes([word[2], word[3]]);
        let immediate = i32::from_le_bytes([word[4], word[5], word[6], word[7]]);
        let extended = i64::from(immediate).cast_unsigned();
        at += 1;
        match code {
            LOAD_WORD => {
                assert_eq!(source, usize::from(CONTEXT));
                assert_eq!(offset % 4, 0);
                registers[target] = Some(context[usize::try_from(offset / 4).unwrap()].into());
            }
            COPY => registers[target] = Some(registers[source].unwrap()),
            SET => registers[target] = Some(extended),
            AND => registers[target] = Some(registers[target].unwrap() & extended),
            SHIFT_RIGHT => registers[target] = Some(registers[target].unwrap() >> immediate),
            JUMP_UNEQUAL => {
                let [low, _] = [registers[target].unwrap() & 0xffff_ffff, 0];
                if low != u64::from(immediate.cast_unsigned()) {
                    at = at.checked_add_signed(offset.into()).unwrap();
                }
            }
            EXIT => return registers[usize::from(ANSWER)].unwrap(),
            _ => panic!("instruction {code:#x}"),
        }
    }
    panic!("does not end")
}

/// What the rules mean: everything that is asked for is allowed by some rule for this device.
fn means(rules: &[DeviceRule], access: u32, kind: u32, major: u32, minor: u32) -> bool {
    [MAKE, READ, WRITE].iter().all(|bit| {
        access & bit == 0
            || rules.iter().any(|rule| {
                (kind == BLOCK) == rule.block
                    && rule.major.is_none_or(|number| number == major)
                    && rule.minor.is_none_or(|number| number == minor)
                    && match *bit {
                        READ => true,
                        WRITE => rule.write,
                        _ => rule.make,
                    }
            })
    })
}

fn all_rules() -> Vec<DeviceRule> {
    let mut rules = Vec::new();
    for bits in 0..8_u32 {
        for major in [None, Some(1), Some(u32::MAX)] {
            for minor in [None, Some(3)] {
                rules.push(DeviceRule {
                    block: bits & 1 != 0,
                    write: bits & 2 != 0,
                    make: bits & 4 != 0,
                    major,
                    minor,
                });
            }
        }
    }
    rules
}

fn agree(rules: &[DeviceRule]) {
    let program = compile(rules);
    for access in 0..8 {
        for kind in [BLOCK, CHARACTER] {
            for major in [0, 1, u32::MAX] {
                for minor in [3, 4] {
                    let said = interpret(&program, access, kind, major, minor) == 1;
                    let meant = means(rules, access, kind, major, minor);
                    assert_eq!(said, meant, "{rules:?}: {access} {kind} {major}:{minor}");
                }
            }
        }
    }
}

#[test]
fn programs_say_what_their_rules_mean() {
    agree(&[]);
    let rules = all_rules();
    for one in &rules {
        agree(&[*one]);
        for other in &rules {
            agree(&[*one, *other]);
        }
    }
}

#[test]
fn a_long_list_is_decided_at_its_end_too() {
    let rules: Vec<DeviceRule> = (0..300)
        .map(|major| DeviceRule {
            block: false,
            major: Some(major),
            minor: None,
            write: true,
            make: false,
        })
        .collect();
    let program = compile(&rules);
    // BPF_MAXINSNS, which holds without CAP_BPF.
    assert!(program.words().len() < 4096);
    assert_eq!(interpret(&program, READ | WRITE, CHARACTER, 299, 7), 1);
    assert_eq!(interpret(&program, READ | WRITE, CHARACTER, 300, 7), 0);
    assert_eq!(interpret(&program, MAKE, CHARACTER, 299, 7), 0);
}
