//! Text of others, for people.

/// Text for people without what could drive a terminal.
#[must_use]
pub fn show(text: &str) -> String {
    text.chars()
        .take(200)
        .flat_map(|letter| {
            let plain = !letter.is_control() && !is_direction(letter);
            let shown: Box<dyn Iterator<Item = char>> = if plain {
                Box::new(std::iter::once(letter))
            } else {
                Box::new(letter.escape_default())
            };
            shown
        })
        .collect()
}

/// Characters that change the direction of what is beside them, or are not seen: those that the launcher escapes.
fn is_direction(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}
