//! `sandboxctl tree`: the processes of sandboxes as trees.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::{answer, inspect};
use super::ps::{self, Line};
use super::running::{NONE, chosen};
use crate::report::escape;

/// Deeper trees than this are cut off: a program can make them as deep as it may have processes.
const DEEPEST: usize = 100;

/// Processes by their parents, and those whose parent is none of them.
struct Forest {
    lines: BTreeMap<i32, Line>,
    children: BTreeMap<i32, Vec<i32>>,
    roots: Vec<i32>,
}

impl Forest {
    fn of(lines: Vec<Line>) -> Self {
        let lines: BTreeMap<i32, Line> = lines.into_iter().map(|line| (line.pid, line)).collect();
        let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        let mut roots = Vec::new();
        for line in lines.values() {
            if lines.contains_key(&line.parent) && line.parent != line.pid {
                children.entry(line.parent).or_default().push(line.pid);
            } else {
                roots.push(line.pid);
            }
        }
        Self {
            lines,
            children,
            roots,
        }
    }

    fn below(&self, pid: i32) -> &[i32] {
        self.children.get(&pid).map_or(&[], Vec::as_slice)
    }

    fn draw(&self, out: &mut String) {
        let mut seen = BTreeSet::new();
        let mut open: Vec<(i32, Vec<bool>)> = Vec::new();
        let count = self.roots.len();
        for (at, root) in self.roots.iter().enumerate().rev() {
            open.push((*root, vec![at + 1 == count]));
        }
        while let Some((pid, lasts)) = open.pop() {
            // Parents are read one after the other, so that a circle can be seen where there is none.
            let Some(line) = self.lines.get(&pid).filter(|_| seen.insert(pid)) else {
                continue;
            };
            for (depth, last) in lasts.iter().enumerate() {
                let own = depth + 1 == lasts.len();
                out.push_str(match (own, last) {
                    (true, true) => "└─ ",
                    (true, false) => "├─ ",
                    (false, true) => "   ",
                    (false, false) => "│  ",
                });
            }
            let inside = match line.inside {
                Some(inside) if inside != pid => format!(" ({inside} inside)"),
                _ => String::new(),
            };
            out.push_str(&format!("{pid}{inside} {}\n", escape::line(&line.command)));
            let below = self.below(pid);
            if lasts.len() >= DEEPEST {
                continue;
            }
            for (at, child) in below.iter().enumerate().rev() {
                let mut lasts = lasts.clone();
                lasts.push(at + 1 == below.len());
                open.push((*child, lasts));
            }
        }
    }

    fn json(&self, pid: i32, depth: usize) -> Value {
        let mut value = json!(self.lines.get(&pid));
        let children: Vec<Value> = match depth < DEEPEST {
            true => self
                .below(pid)
                .iter()
                .map(|child| self.json(*child, depth + 1))
                .collect(),
            false => Vec::new(),
        };
        if let Some(fields) = value.as_object_mut() {
            fields.insert("children".to_owned(), children.into());
        }
        value
    }
}

pub(super) fn tree(name: Option<&str>, json: bool) -> Result<(), i32> {
    let sandboxes = chosen(name)?;
    let mut text = String::new();
    let mut all = Vec::new();
    for sandbox in &sandboxes {
        let forest = Forest::of(ps::lines(sandbox));
        if json {
            let roots = forest.roots.iter().map(|root| forest.json(*root, 1));
            all.push(json!({
                "sandbox": sandbox.name(),
                "uid": sandbox.uid(),
                "processes": roots.collect::<Vec<_>>(),
            }));
        } else {
            text.push_str(&inspect::paint().strong(sandbox.name()));
            text.push('\n');
            forest.draw(&mut text);
        }
    }
    if json {
        return answer(&format!("{:#}\n", json!(all)));
    }
    answer(if sandboxes.is_empty() { NONE } else { &text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(pid: i32, parent: i32) -> Line {
        Line {
            sandbox: "s".to_owned(),
            uid: 0,
            pid,
            inside: Some(pid - 9),
            parent,
            state: 'S',
            threads: 1,
            memory: 0,
            command: format!("c{pid}"),
        }
    }

    #[test]
    fn a_tree_is_drawn() {
        let forest = Forest::of(vec![
            line(10, 1),
            line(11, 10),
            line(12, 11),
            line(13, 10),
            line(20, 2),
        ]);
        let mut out = String::new();
        forest.draw(&mut out);
        assert_eq!(
            out,
            "├─ 10 (1 inside) c10\n│  ├─ 11 (2 inside) c11\n│  │  └─ 12 (3 inside) c12\n│  └─ 13 (4 inside) c13\n└─ 20 (11 inside) c20\n"
        );
        assert_eq!(forest.json(10, 1)["children"][0]["pid"], 11);
    }

    #[test]
    fn circles_and_depth_end() {
        let circle = Forest::of(vec![line(1, 2), line(2, 1), line(3, 3)]);
        let mut out = String::new();
        circle.draw(&mut out);
        assert_eq!(circle.roots, [3]);
        let deep = Forest::of((1..500).map(|pid| line(pid, pid - 1)).collect());
        let mut out = String::new();
        deep.draw(&mut out);
        assert_eq!(out.lines().count(), DEEPEST);
    }
}
