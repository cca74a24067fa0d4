//! The launcher's own command line, apart from what it starts.

use super::support::{Case, Outcome, Scene, case};

pub fn cases() -> Vec<Case> {
    vec![
        case("version", &[], version),
        case("help", &[], help),
        case("nothing_to_start", &[], nothing_to_start),
    ]
}

fn version(scene: &Scene) -> Outcome {
    let out = scene.sandbox().args(["--version"]).run()?;
    out.succeeds()?;
    out.prints(concat!("sandbox ", env!("CARGO_PKG_VERSION")))
}

fn help(scene: &Scene) -> Outcome {
    let out = scene.sandbox().args(["--help"]).run()?;
    out.succeeds()?;
    for option in ["--profile", "--memory", "--dry-run"] {
        assert!(
            out.stdout().contains(option),
            "`{option}` is not named\n{out}"
        );
    }
    Ok(())
}

fn nothing_to_start(scene: &Scene) -> Outcome {
    scene.sandbox().run()?.exits_with(2)?;
    Ok(())
}
