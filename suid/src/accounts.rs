//! Users and groups, from the text of /etc/passwd and /etc/group (passwd(5), group(5)).
//!
//! The name service switch is not asked: it would load modules into a privileged process. An account that only a
//! directory server knows is named in a rule by its number.

/// One line of /etc/passwd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// One line of /etc/group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Group id.
    pub gid: u32,
    /// Names of members.
    pub members: Vec<String>,
}

/// All accounts of this system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    users: Vec<User>,
    groups: Vec<Group>,
}

impl Accounts {
    /// Reads both files; lines that are none (comments, `+` of NIS, a number that is none) are passed over.
    #[must_use]
    pub fn read(passwd: &str, group: &str) -> Self {
        let users = passwd.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, _, home, shell] = fields[..] else {
                return None;
            };
            Some(User {
                name: word(name)?,
                uid: id(uid)?,
                gid: id(gid)?,
                home: home.to_owned(),
                shell: shell.to_owned(),
            })
        });
        let groups = group.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, gid, members] = fields[..] else {
                return None;
            };
            Some(Group {
                name: word(name)?,
                gid: id(gid)?,
                members: members
                    .split(',')
                    .filter(|member| !member.is_empty())
                    .map(str::to_owned)
                    .collect(),
            })
        });
        Self {
            users: users.collect(),
            groups: groups.collect(),
        }
    }

    /// The user of that name; the first line counts, as everywhere.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// The user of that number.
    #[must_use]
    pub fn user_by_id(&self, uid: u32) -> Option<&User> {
        self.users.iter().find(|user| user.uid == uid)
    }

    /// The group of that name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// The groups that list a user as a member, and its primary one; sorted, each once.
    #[must_use]
    pub fn groups_of(&self, user: &User) -> Vec<u32> {
        let mut all = vec![user.gid];
        let listed = self
            .groups
            .iter()
            .filter(|group| group.members.contains(&user.name));
        all.extend(listed.map(|group| group.gid));
        all.sort_unstable();
        all.dedup();
        all
    }
}

fn word(name: &str) -> Option<String> {
    let strange = name.is_empty() || name.starts_with(['+', '-', '#']);
    (!strange).then(|| name.to_owned())
}

/// An id: decimal digits, no sign, and not the number that means «none» to the kernel.
#[must_use]
pub fn id(text: &str) -> Option<u32> {
    let plain = !text.is_empty()
        && text.len() <= 10
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    let id: u32 = plain.then(|| text.parse().ok()).flatten()?;
    (id != u32::MAX).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_none_are_passed_over() {
        let accounts = Accounts::read(
            "root:x:0:0:root:/root:/bin/sh\n+::::::\nbad:x:-1:0::/:\nhuge:x:4294967295:0::/:\nann:x:1000:100::/home/ann:/bin/sh\nann:x:1001:100::/:/bin/sh\n",
            "root:x:0:\nstaff:x:50:ann,bob\nusers:x:100:\nbroken:x:50\n",
        );
        assert_eq!(accounts.user("ann").map(|user| user.uid), Some(1000));
        assert_eq!(accounts.user("bad"), None);
        assert_eq!(accounts.user("huge"), None);
        assert_eq!(accounts.user("+"), None);
        assert_eq!(accounts.group("staff").map(|group| group.gid), Some(50));
        let ann = accounts.user("ann").map(|user| accounts.groups_of(user));
        assert_eq!(ann, Some(vec![50, 100]));
    }

    #[test]
    fn ids_are_plain_numbers() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1000", Some(1000)),
            ("4294967294", Some(4_294_967_294)),
            ("4294967295", None),
            ("4294967296", None),
            ("-1", None),
            ("+1", None),
            ("0x0", None),
            ("00", None),
            ("01", None),
            ("#1", None),
            ("", None),
            (" 1", None),
            ("1day", None),
        ] {
            assert_eq!(id(text), expected, "{text}");
        }
    }
}
