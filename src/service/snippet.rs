//! A piece of a chunk's text around the words that were looked for.

use crate::store::sql::fold;

/// Characters of a snippet, without the marks of what was left out.
const LENGTH: usize = 200;
/// Characters before the match.
const BEFORE: usize = 60;
/// How far a cut may move to fall between words.
const SLACK: usize = 20;

/// About 200 characters of `text` around the first place where `folded`, its folded form, holds `words`;
/// from the beginning when it does not. What is left out is marked by `…`.
#[must_use]
pub fn around(text: &str, folded: &str, words: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= LENGTH {
        return text.to_owned();
    }
    let found = if words.is_empty() { None } else { folded.find(words) };
    let at = found.map_or(0, |offset| place(&characters, offset));
    let start = at.saturating_sub(BEFORE).min(characters.len() - LENGTH);
    let start = if start == 0 { 0 } else { after_gap(&characters, start, at) };
    let end = (start + LENGTH).min(characters.len());
    let end = if end == characters.len() { end } else { before_gap(&characters, end) };
    let piece: String = characters[start..end].iter().collect();
    let (before, after) = (if start > 0 { "…" } else { "" }, if end < characters.len() { "…" } else { "" });
    format!("{before}{}{after}", piece.trim())
}

/// Which character of the text stands at a byte of its folded form. (Folding may change how many bytes a
/// character has, and of how many characters it is.)
fn place(characters: &[char], offset: usize) -> usize {
    let mut passed = 0;
    let mut buffer = [0; 4];
    for (place, character) in characters.iter().enumerate() {
        passed += if character.is_ascii() { 1 } else { fold(character.encode_utf8(&mut buffer)).len() };
        if passed > offset {
            return place;
        }
    }
    0
}

/// The beginning of the word after `start`, if one begins soon and before `at`.
fn after_gap(characters: &[char], start: usize, at: usize) -> usize {
    let end = (start + SLACK).min(at);
    (start..end).find(|place| characters[place - 1].is_whitespace()).unwrap_or(start)
}

/// The end of the word before `end`, if one ends shortly before.
fn before_gap(characters: &[char], end: usize) -> usize {
    (end - SLACK..=end).rev().find(|place| characters[*place].is_whitespace()).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, words: &str) -> String {
        around(text, &fold(text), &fold(words))
    }

    #[test]
    fn a_short_text_is_its_own_snippet() {
        assert_eq!(of("Straße", "SS"), "Straße");
    }

    #[test]
    fn a_long_text_is_cut_between_words_around_the_first_match() {
        let text = format!("{}needle {}", "vor ".repeat(100), "nach ".repeat(100));
        let snippet = of(&text, "NEEDLE");
        assert!(snippet.starts_with("…vor ") && snippet.ends_with("nach…"), "{snippet}");
        assert!(snippet.contains("needle") && snippet.chars().count() <= LENGTH + 2, "{snippet}");
        assert!(of(&text, "absent").starts_with("vor vor"));
        assert!(of(&text, "").ends_with("vor…"));
    }

    #[test]
    fn folding_that_changes_lengths_does_not_move_the_place() {
        let text = format!("{}İstanbul{}", "ßİ😀".repeat(300), "ﬁ".repeat(300));
        assert!(of(&text, "istanbul").contains("İstanbul") || of(&text, "i̇stanbul").contains("İstanbul"));
        let end = format!("{}Ende", "x".repeat(500));
        assert_eq!(of(&end, "ende"), format!("…{}Ende", "x".repeat(196)));
    }
}
