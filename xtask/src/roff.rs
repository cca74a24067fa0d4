//! Our texts as man(7) macros.

/// Text set as it stands: names, options, TOML.
pub fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '~' => out.push_str("\\(ti"),
            '^' => out.push_str("\\(ha"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            c => out.push(c),
        }
    }
    out
}

/// Prose, in which what stands between backticks is a name: lines of man(7) text, one a sentence.
pub fn prose(text: &str) -> String {
    let mut out = String::new();
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            out.push_str(&format!("\\fB{}\\fR", literal(part)));
        } else {
            out.push_str(&plain(part));
        }
    }
    lines(&out)
}

fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => out.push_str("\\e"),
            '~' => out.push_str("\\(ti"),
            '^' => out.push_str("\\(ha"),
            // A hyphen joins words; anything else is a minus or an option's mark.
            '-' if !before.is_alphanumeric()
                || rest.peek().is_none_or(|next| !next.is_alphanumeric()) =>
            {
                out.push_str("\\-");
            }
            c => out.push(c),
        }
        before = c;
    }
    out
}

/// A new line after each sentence, and no line that could be taken for a macro.
fn lines(text: &str) -> String {
    let mut out = String::new();
    for line in text.replace(". ", ".\n").lines() {
        if line.starts_with(['.', '\'']) {
            out.push_str("\\&");
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// Lines of TOML, not filled.
pub fn example(text: &str) -> String {
    let mut out = String::from(".EX\n");
    for line in text.lines() {
        if line.starts_with(['.', '\'']) {
            out.push_str("\\&");
        }
        out.push_str(&literal(line));
        out.push('\n');
    }
    out.push_str(".EE\n");
    out
}
