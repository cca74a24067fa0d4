//! Our tables of names against those of others.

use sandbox::section::capabilities::{CAPABILITIES, canonical};

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
