//! That what is read in one pass is what the TOML parser reads.

#[path = "thrown/tests.rs"]
mod thrown;

use std::path::Path;

use crate::profile::document::{Reader, parse_any};
use crate::profile::embedded::EMBEDDED;
use crate::report::SourceId;

/// Whether a document is in the plain form; and that it then says what the TOML parser reads.
fn is_plain(text: &str) -> bool {
    let source = SourceId::default();
    let Some(profile) = Reader::new("p", source).plain(text) else {
        return false;
    };
    let parsed = parse_any("p", source, text);
    assert_eq!(parsed.diagnostics, [], "{text}");
    assert_eq!(parsed.profile, profile, "{text}");
    true
}

#[test]
fn shipped_profiles_are_plain() {
    for (name, text) in EMBEDDED {
        assert!(is_plain(text), "{name}");
    }
}

#[test]
fn other_forms_are_left_to_the_parser() {
    for text in [
        "description = 'a'\n[limits]\npids = 1\n",
        "description = \"\"\"a\"\"\"\n[limits]\npids = 1\n",
        "limits.pids = 1\n",
        "limits = { pids = 1 }\n",
        "[limits]\r\npids = 1\r\n",
        "[limits]\npids = +1\n",
        "[ limits ]\npids = 1\n",
        "[limits] # a\ttab\npids = 1\n",
        "\u{feff}[limits]\npids = 1\n",
        "[filesystem]\n\"/a\" = { tmpfs = \"1M\",\n execute = false }\n",
    ] {
        assert!(!is_plain(text), "{text}");
        let parsed = parse_any("p", SourceId::default(), text);
        assert_eq!(parsed.diagnostics, [], "{text}");
    }
    for text in [
        "",
        "# nothing\n",
        "[limits]\npids = 1\npids = 1\n",
        "[limits]\npids = 01\n",
    ] {
        assert!(!is_plain(text), "{text}");
    }
}

#[test]
fn what_is_changed_anywhere_is_read_alike_or_not_at_all() {
    const TEXT: &str = "# ü\ndescription = \"an example\" # for 12345678 bytes and more\nprograms = [\"a\", # b\n \"c\", ]\n\
         degrade=[]\n\n[limits]\n memory = \"3G\"\npids = 2048\n[filesystem]# x\n\"/a\\u0020b\" = \"hidden\"\n\
         \"/é\" = { tmpfs = \"1M\", execute = false }\n\"~\"\t=\t\"private\"\n[environment]\nA_1 = true\n\"B*\" = \"\"\n[user]\nuid = 0";
    let text = TEXT.replace("\\u0020", "");
    assert!(is_plain(&text));
    let mut plain = 0;
    for (at, letter) in text.char_indices() {
        let (before, behind) = (&text[..at], &text[at + letter.len_utf8()..]);
        for other in [
            "", "\"", "'", "\\", "#", "\n", "\r", "\t", " ", "\0", "\u{7f}", "[", "]", "{", "}",
            "=", ",", ".", "0", "-", "_", "a", "\u{80}",
        ] {
            plain += usize::from(is_plain(&format!("{before}{other}{behind}")));
            plain += usize::from(is_plain(&format!("{before}{other}{letter}{behind}")));
        }
        is_plain(before);
    }
    assert!(plain > 1000, "{plain}");
}

#[test]
fn known_inputs_of_the_fuzzers_are_read_alike() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for directory in ["fuzz/corpus/profile", "fuzz/corpus/merge", "tests/mistakes"] {
        for file in std::fs::read_dir(here.join(directory)).expect(directory) {
            let read = file.and_then(|file| std::fs::read_to_string(file.path()));
            is_plain(&read.unwrap_or_default());
        }
    }
}
