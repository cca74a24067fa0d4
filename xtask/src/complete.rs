//! Completions: what the generator makes, with what it cannot know put in: names of profiles beside files, and programs.

use clap::Command;
use clap_complete::Shell;
use sandbox::profile::embedded::EMBEDDED;

/// The completion of one program for one shell.
pub fn script(shell: Shell, program: &str, command: &Command) -> Result<String, String> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command.clone(), program, &mut text);
    let mut text = String::from_utf8(text).map_err(|error| error.to_string())?;
    let names: Vec<&str> = EMBEDDED.iter().map(|(name, _)| *name).collect();
    let names = names.join(" ");
    let mut replacements = replacements(shell, program, &names);
    if program == "sandboxctl" {
        replacements.extend(running(shell, command));
    }
    for (from, to) in replacements {
        if !text.contains(&from) {
            return Err(format!(
                "completion of {program} for {shell}: nothing reads {from:?} any more"
            ));
        }
        text = text.replace(&from, &to);
    }
    Ok(text)
}

/// Names of running sandboxes, which only the program knows, for the verbs that take a NAME.
fn running(shell: Shell, command: &Command) -> Vec<(String, String)> {
    const NAMES: &str = "$(sandboxctl list --names 2>/dev/null)";
    let takes_name = |verb: &&Command| {
        verb.get_positionals()
            .any(|argument| argument.get_value_names() == Some(&["NAME".into()]))
    };
    let verbs = command.get_subcommands().filter(takes_name);
    let verbs: Vec<&str> = verbs.map(Command::get_name).collect();
    match shell {
        Shell::Bash => verbs
            .into_iter()
            .map(|verb| {
                let start = format!("sandboxctl__subcmd__{})\n", verb.replace('-', "__"));
                let names = format!(
                    "{start}            if [[ ${{cur}} != -* && ${{prev}} != --* ]] ; then\n                COMPREPLY=( $(compgen -W \"{NAMES}\" -- \"${{cur}}\") )\n                return 0\n            fi\n            opts="
                );
                (format!("{start}            opts="), names)
            })
            .collect(),
        Shell::Zsh => ["The sandbox:'", "The sandboxes:'", "The sandbox; without it, all:'"]
            .into_iter()
            .map(|what| {
                let names = format!("{{compadd {NAMES}}}'");
                (what.to_owned(), format!("{}{names}", what.trim_end_matches('\'')))
            })
            .collect(),
        Shell::Fish => verbs
            .into_iter()
            .map(|verb| {
                let end = format!(
                    "complete -c sandboxctl -n \"__fish_sandboxctl_using_subcommand {verb}\" -s h"
                );
                let names = format!(
                    "complete -c sandboxctl -n \"__fish_sandboxctl_using_subcommand {verb}\" -f -a \"(sandboxctl list --names 2>/dev/null)\"\n{end}"
                );
                (end, names)
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn replacements(shell: Shell, program: &str, names: &str) -> Vec<(String, String)> {
    let or_file =
        format!("$(compgen -W \"{names}\" -- \"${{cur}}\") $(compgen -f -- \"${{cur}}\")");
    let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    match (shell, program) {
        (Shell::Bash, "sandbox") => vec![
            (
                "--profile)\n                    COMPREPLY=($(compgen -f \"${cur}\"))".to_owned(),
                format!("--profile)\n                    COMPREPLY=({or_file})"),
            ),
            pair("if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then", "if [[ ${cur} == -* ]] ; then"),
            // What is no option is the program, or belongs to it.
            pair(
                "esac\n            COMPREPLY=( $(compgen -W \"${opts}\" -- \"${cur}\") )",
                "esac\n            COMPREPLY=( $(compgen -c -- \"${cur}\") $(compgen -f -- \"${cur}\") )",
            ),
        ],
        (Shell::Bash, _) => ["check", "show"]
            .into_iter()
            .map(|verb| {
                let start = format!("sandboxctl__subcmd__{verb})\n            opts=");
                (start.clone(), format!("sandboxctl__subcmd__{verb})\n            if [[ ${{cur}} != -* ]] ; then\n                COMPREPLY=( {or_file} )\n                return 0\n            fi\n            opts="))
            })
            .collect(),
        (Shell::Zsh, "sandbox") => vec![(
            ":NAME|FILE:_files'".to_owned(),
            format!(":NAME|FILE:{{compadd {names}; _files}}'"),
        )],
        (Shell::Zsh, _) => vec![(
            "by file:_files'".to_owned(),
            format!("by file:{{compadd {names}; _files}}'"),
        )],
        (Shell::Fish, "sandbox") => vec![(
            "later ones win' -r -F".to_owned(),
            format!("later ones win' -r -F -a \"{names}\""),
        )],
        (Shell::Fish, _) => ["show", "check"]
            .into_iter()
            .map(|verb| {
                let start = format!("complete -c sandboxctl -n \"__fish_sandboxctl_using_subcommand {verb}\" -l json");
                (start.clone(), format!("complete -c sandboxctl -n \"__fish_sandboxctl_using_subcommand {verb}\" -a \"{names}\"\n{start}"))
            })
            .collect(),
        _ => Vec::new(),
    }
}
