//! Our tables of names against those of others.

use sandbox::profile::errno;
use sandbox::section::capabilities::{CAPABILITIES, canonical};

#[test]
fn errno_names_agree_with_the_c_library() {
    for (name, number) in [
        ("EPERM", libc::EPERM),
        ("EAGAIN", libc::EAGAIN),
        ("ENOSYS", libc::ENOSYS),
        ("EOPNOTSUPP", libc::EOPNOTSUPP),
        ("ENOTRECOVERABLE", libc::ENOTRECOVERABLE),
        ("EHWPOISON", libc::EHWPOISON),
    ] {
        assert_eq!(errno::number(name), Some(number));
        assert_eq!(errno::name(number), Some(name));
    }
    assert_eq!(errno::number("EWOULDBLOCK"), Some(libc::EWOULDBLOCK));
    assert_eq!(errno::number("EDEADLOCK"), Some(libc::EDEADLOCK));
    for (name, number) in errno::ERRNOS {
        let canonical = errno::name(*number).and_then(errno::number);
        assert_eq!(canonical, Some(*number), "{name}");
    }
}

#[test]
fn capabilities_agree_with_the_caps_package() {
    let all = caps::all();
    assert_eq!(all.len(), CAPABILITIES.len());
    for capability in all {
        let name = canonical(&capability.to_string());
        let number = CAPABILITIES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, number)| *number);
        assert_eq!(number, Some(u32::from(capability.index())), "{name}");
    }
}
