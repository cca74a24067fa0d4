//! The self-audit: of each step in turn the launcher is told to leave it out, which only builds for tests can do. The
//! program is not run then, or the step is one that takes nothing away from the program.

use std::collections::BTreeSet;
use std::fs;

use crate::support::{Case, Need, Outcome, Scene, binary, case};

const USERNS: &[Need] = &[Need::UserNamespaces];
/// What `strict` does not do without.
const LIMITED: &[Need] = &[Need::UserNamespaces, Need::Limits];

pub fn cases() -> Vec<Case> {
    vec![
        case("steps_left_out_of_strict", LIMITED, |scene| {
            each_step(scene, &["--profile", "strict"])
        }),
        case("steps_left_out_of_build", USERNS, |scene| {
            each_step(scene, &["--profile", "build"])
        }),
        case("steps_left_out_of_a_terminal", USERNS, |scene| {
            each_step(
                scene,
                &["--profile", "default", "--set", "process.terminal=new"],
            )
        }),
        case("steps_left_out_with_limits", &[Need::Limits], |scene| {
            each_step(scene, &["--no-profile", "--memory", "1G", "--pids", "100"])
        }),
        case("descriptors_left_open", LIMITED, descriptors_left_open),
        case(
            "releases_leave_nothing_out",
            &[],
            releases_leave_nothing_out,
        ),
    ]
}

/// Steps without which a program can do no more than with them, and why.
const GIVE: &[(&str, &str)] = &[
    ("nothing", "makes no namespace"),
    ("own-directory", "made where it is missing"),
    (
        "close-descriptors",
        "this caller has none open; another test has",
    ),
    ("make-directory", "something to mount on, or a name"),
    ("make-file", "something to mount on"),
    (
        "mount-text",
        "an empty file is there, or what is not of ours is noticed",
    ),
    ("make-link", "a name"),
    ("mount-host", "shows what could not be seen without it"),
    ("loopback-up", "a way to talk to itself"),
    (
        "private-propagation",
        "the kernel does it too for a new user namespace, and refuses to change the root without it",
    ),
    ("init", "someone to reap processes"),
    (
        "working-directory",
        "that it is inside is asked in any case",
    ),
    ("timeout", "kept by the launcher, not by the child"),
    (
        "oom-score-adjust",
        "a wish for the time when memory is short",
    ),
    ("nice", "where the program starts from"),
    ("io-priority", "where the program starts from"),
    ("scheduler", "where the program starts from"),
    ("cpu-affinity", "where the program starts from"),
];

/// statmount(2) came with Linux 6.8.
fn tells_of_propagation() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(8))
}

fn steps(scene: &Scene, options: &[&str]) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    // The first launch makes directories of the profile's own, which is a step.
    let first = scene.sandbox().args(options).program(["/bin/true"]).run()?;
    first.succeeds()?;
    let shown = scene
        .sandbox()
        .args(["--dry-run", "--json"])
        .args(options)
        .program(["/bin/true"])
        .run()?;
    shown.succeeds()?;
    let plan: serde_json::Value = serde_json::from_str(shown.stdout().trim())?;
    let steps = plan["steps"].as_array().ok_or("no steps")?;
    let names = steps.iter().map(|step| {
        // Without a namespace it is a fork.
        let none = step["details"]["namespaces"]
            .as_array()
            .is_some_and(Vec::is_empty);
        step["action"]
            .as_str()
            .filter(|_| !none)
            .unwrap_or("nothing")
    });
    Ok(names.map(str::to_owned).collect())
}

fn each_step(scene: &Scene, options: &[&str]) -> Outcome {
    let steps = steps(scene, options)?;
    let (mut caught, mut passed) = (BTreeSet::new(), BTreeSet::new());
    for (at, step) in steps.iter().enumerate() {
        if step == "execute" {
            continue;
        }
        // Older kernels do not tell, and what is mounted inside would then appear outside.
        if step == "private-propagation" && scene.host.is_root() && !tells_of_propagation() {
            continue;
        }
        let number = (at + 1).to_string();
        let out = scene
            .sandbox()
            .env("SANDBOX_LEAVE_OUT_STEP", &number)
            .args(options)
            .args(["--quiet"])
            .program(["/bin/true"])
            .run()?;
        let text = out.stderr();
        match out.code() {
            125 => {
                assert!(text.contains("nothing was run"), "{out}");
                caught.insert(step.as_str());
            }
            // What was to be shown is not there.
            0 | 126 | 127 => {
                let harmless = GIVE.iter().any(|(action, _)| action == step);
                assert!(harmless, "step {number}, {step}, is not missed\n{out}");
                passed.insert(step.as_str());
            }
            other => return Err(format!("step {number}, {step}: {other}\n{out}").into()),
        }
    }
    println!("audit: noticed {caught:?}; not noticed {passed:?}");
    assert!(caught.len() > 1, "{caught:?}");
    Ok(())
}

/// A descriptor of the caller's that does not close on exec.
fn descriptors_left_open(scene: &Scene) -> Outcome {
    let options = ["--profile", "strict"];
    let steps = steps(scene, &options)?;
    let at = steps.iter().position(|step| step == "close-descriptors");
    let number = (at.ok_or("no such step")? + 1).to_string();
    let launcher = binary("sandbox").display().to_string();
    let script = format!("exec 7</; exec {launcher} --profile strict --quiet -- /bin/true");
    let run = |number: &str| {
        scene
            .command("/bin/sh")
            .env("SANDBOX_LEAVE_OUT_STEP", number)
            .args(["-c", &script])
            .run()
    };
    run("0")?.succeeds()?;
    let out = run(&number)?;
    out.exits_with(125)?;
    assert!(
        out.stderr().contains("it was done, and is not in force"),
        "{out}"
    );
    Ok(())
}

/// The name of the variable is in no program that is released: here, in none that was built without assertions.
fn releases_leave_nothing_out(_: &Scene) -> Outcome {
    let program = fs::read(binary("sandbox"))?;
    let name = b"SANDBOX_LEAVE_OUT_STEP";
    let named = program.windows(name.len()).any(|window| window == name);
    assert_eq!(
        named,
        cfg!(debug_assertions),
        "tests and programs are of one build"
    );
    Ok(())
}
