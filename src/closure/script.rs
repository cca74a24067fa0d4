//! The first line of a script (execve(2), "Interpreter scripts"), and what env(1) makes of the rest of it.

/// The kernel looks at no more of a file (BINPRM_BUF_SIZE).
const LOOKED_AT: usize = 256;

/// What runs a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shebang {
    /// The path of the interpreter.
    pub interpreter: Vec<u8>,
    /// All that follows, as one argument.
    pub argument: Option<Vec<u8>>,
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trimmed(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|byte| !is_blank(*byte));
    let end = line.iter().rposition(|byte| !is_blank(*byte));
    match (start, end) {
        (Some(start), Some(end)) => line.get(start..=end).unwrap_or_default(),
        _ => &[],
    }
}

/// Reads the first bytes of a file; `None` when it is no script.
///
/// # Errors
/// It is one, and the kernel would not run it.
#[must_use]
pub fn read(start: &[u8]) -> Option<Result<Shebang, &'static str>> {
    let start = start.get(..start.len().min(LOOKED_AT))?;
    let rest = start.strip_prefix(b"#!")?;
    let end = rest.iter().position(|byte| matches!(byte, b'\n' | 0));
    let whole = end.is_some() || start.len() < LOOKED_AT;
    let line = trimmed(rest.get(..end.unwrap_or(rest.len()))?);
    let cut = line.iter().position(|byte| is_blank(*byte));
    let (name, rest) = line.split_at(cut.unwrap_or(line.len()));
    Some(if name.is_empty() {
        Err("its first line names no interpreter")
    } else if !whole && cut.is_none() {
        Err("the name of its interpreter is too long for the kernel")
    } else {
        let argument = trimmed(rest);
        Ok(Shebang {
            interpreter: name.to_owned(),
            argument: (!argument.is_empty()).then(|| argument.to_owned()),
        })
    })
}

/// The program that `env ARGUMENT` looks for in the PATH; `None` when it cannot be told.
#[must_use]
pub fn of_env(argument: &[u8]) -> Option<Vec<u8>> {
    let split = argument
        .strip_prefix(b"-S")
        .or_else(|| argument.strip_prefix(b"--split-string="));
    let whole = [trimmed(argument)];
    let words: Vec<&[u8]> = match split {
        Some(rest) => rest
            .split(|byte| is_blank(*byte))
            .filter(|word| !word.is_empty())
            .collect(),
        // Without -S the kernel has made one word of it.
        None => whole.to_vec(),
    };
    let is_setting = |word: &&&[u8]| word.contains(&b'=');
    let plain = |word: &&&[u8]| {
        let odd = |byte: &u8| matches!(byte, b'"' | b'\'' | b'\\' | b'$' | b'#') || is_blank(*byte);
        !word.iter().any(odd)
    };
    let mut rest = words.iter().skip_while(|word| {
        is_setting(word) || matches!(**word, b"-i" | b"-" | b"-0" | b"--ignore-environment")
    });
    let program = rest.next().filter(plain)?;
    (!program.starts_with(b"-")).then(|| program.to_vec())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn line(text: &str) -> Option<Result<(String, Option<String>), &'static str>> {
        let text_of = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        read(text.as_bytes())
            .map(|read| read.map(|said| (text_of(said.interpreter), said.argument.map(text_of))))
    }

    #[test]
    fn first_lines_are_read_as_the_kernel_reads_them() {
        let ok = |name: &str, argument: Option<&str>| {
            Some(Ok((name.to_owned(), argument.map(str::to_owned))))
        };
        assert_eq!(line("#!/bin/sh\necho"), ok("/bin/sh", None));
        assert_eq!(line("#! /bin/sh -eu \n"), ok("/bin/sh", Some("-eu")));
        assert_eq!(line("#!\t/a b c"), ok("/a", Some("b c")));
        assert_eq!(line("#!/bin/sh"), ok("/bin/sh", None));
        assert_eq!(line("# !/bin/sh"), None);
        assert_eq!(line(""), None);
        assert!(line("#!\n/bin/sh").unwrap().is_err());
        assert!(line("#!   ").unwrap().is_err());
        assert!(line(&format!("#!/{}", "a".repeat(300))).unwrap().is_err());
        let long = format!("#!/bin/sh {}", "a".repeat(300));
        assert_eq!(line(&long), ok("/bin/sh", Some(&"a".repeat(244 + 2))));
    }

    #[test]
    fn env_names_a_program() {
        for (argument, program) in [
            ("python3", Some("python3")),
            ("-S python3 -u", Some("python3")),
            ("-Spython3 -u", Some("python3")),
            ("-S -i A=b node --x", Some("node")),
            ("--split-string=perl -w", Some("perl")),
            ("-u python3", None),
            ("-S \"a b\"", None),
            ("-S -u X python3", None),
            ("", None),
        ] {
            let found = of_env(argument.as_bytes()).filter(|found| !found.is_empty());
            assert_eq!(found.as_deref(), program.map(str::as_bytes), "{argument}");
        }
    }
}
