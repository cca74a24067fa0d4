//! `[capabilities]`: which are kept.

use crate::policy::Policy;
use crate::profile::key::Section;
use crate::profile::value::Value;
use crate::report::Site;

/// Every capability that this program knows, by number. capabilities(7).
pub static CAPABILITIES: [(&str, u32); 41] = [
    ("chown", 0),
    ("dac_override", 1),
    ("dac_read_search", 2),
    ("fowner", 3),
    ("fsetid", 4),
    ("kill", 5),
    ("setgid", 6),
    ("setuid", 7),
    ("setpcap", 8),
    ("linux_immutable", 9),
    ("net_bind_service", 10),
    ("net_broadcast", 11),
    ("net_admin", 12),
    ("net_raw", 13),
    ("ipc_lock", 14),
    ("ipc_owner", 15),
    ("sys_module", 16),
    ("sys_rawio", 17),
    ("sys_chroot", 18),
    ("sys_ptrace", 19),
    ("sys_pacct", 20),
    ("sys_admin", 21),
    ("sys_boot", 22),
    ("sys_nice", 23),
    ("sys_resource", 24),
    ("sys_time", 25),
    ("sys_tty_config", 26),
    ("mknod", 27),
    ("lease", 28),
    ("audit_write", 29),
    ("audit_control", 30),
    ("setfcap", 31),
    ("mac_override", 32),
    ("mac_admin", 33),
    ("syslog", 34),
    ("wake_alarm", 35),
    ("block_suspend", 36),
    ("audit_read", 37),
    ("perfmon", 38),
    ("bpf", 39),
    ("checkpoint_restore", 40),
];

/// The canonical form of a name: lower case, without `cap_`. `CAP_NET_ADMIN` and `net_admin` are one key.
#[must_use]
pub fn canonical(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    match lower.strip_prefix("cap_") {
        Some(bare) => bare.to_owned(),
        None => lower,
    }
}

/// The number of a canonical name.
#[must_use]
pub fn number(canonical: &str) -> Option<u32> {
    CAPABILITIES
        .iter()
        .find(|(name, _)| *name == canonical)
        .map(|(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        assert_eq!(number("chown"), Some(0));
        assert_eq!(number(&canonical("CAP_SYS_ADMIN")), Some(21));
        assert_eq!(number("checkpoint_restore"), Some(40));
        for (at, (name, number)) in CAPABILITIES.iter().enumerate() {
            assert_eq!(at, *number as usize, "{name}");
        }
    }
}

/// What happens to the capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Bit n for capability n.
    pub keep: u64,
    /// Where the section's `default`, or else its first key, stands.
    pub site: Site,
    /// Whether the section says anything.
    pub explicit: bool,
}

/// Which capabilities are kept; `None` when nothing is to be changed.
#[must_use]
pub fn lower(policy: &Policy, new_user_namespace: bool, last: u32) -> Option<Kept> {
    let explicit = policy.mentions(Section::Capabilities);
    if !explicit && !new_user_namespace {
        return None;
    }
    let all = if last >= 63 {
        u64::MAX
    } else {
        (1 << (last + 1)) - 1
    };
    let default = policy.get(Section::Capabilities, "default");
    let mut keep = match default.as_ref().map(|said| said.value) {
        Some(Value::Keep(true)) => all,
        _ => 0,
    };
    let mut site = default.map(|said| said.site);
    for (key, value, rule) in policy.section(Section::Capabilities) {
        let number = CAPABILITIES
            .iter()
            .find_map(|(name, number)| (*name == key).then_some(*number));
        if let (Some(number), Value::Keep(kept)) = (number, value) {
            site = site.or(Some(rule.site));
            if *kept {
                keep |= 1 << number;
            } else {
                keep &= !(1 << number);
            }
        }
    }
    Some(Kept {
        keep: keep & all,
        site: site.unwrap_or(Site::DEFAULT),
        explicit,
    })
}

/// The names in a set, for people.
#[must_use]
pub fn names(set: u64) -> Vec<&'static str> {
    CAPABILITIES
        .iter()
        .filter(|(_, number)| set & (1 << number) != 0)
        .map(|(name, _)| *name)
        .collect()
}
