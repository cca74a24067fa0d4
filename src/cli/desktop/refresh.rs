//! `sandboxctl desktop refresh`.

use super::{How, Stage, carry_out, manifest};
use crate::cli::answer;
use crate::desktop::apply;
use crate::desktop::plan::wish;
use crate::desktop::step::{Force, steps};

pub(super) fn refresh(how: How) -> Result<(), i32> {
    let stage = Stage::set(how.system)?;
    if apply::load(&stage.scope).is_ok_and(|known| known == Default::default()) {
        return match how.json {
            true => carry_out(None, &[], &[], how, 0),
            false => answer(
                "nothing to do: nothing was installed yet; see `sandboxctl desktop install`\n",
            ),
        };
    }
    stage.launcher()?;
    let (held, known) = manifest(&stage.scope, how.dry_run)?;
    let found = stage.scan(&known);
    let wished = stage.with_world(|world| wish(&found.sources, &known.selection, &known, world));
    let (remarks, number) = (wished.remarks.clone(), wished.files.len());
    let state = |path: &str| apply::state(&stage.scope, path);
    let steps = steps(wished, &known, &state, Force(how.force));
    carry_out(held, &steps, &remarks, how, number)
}
