//! The built-in embedder: lexical, deterministic, for trying things out.
//!
//! It hashes words and the character trigrams of words into 256 numbers, so texts
//! are near when they share words or parts of words. It knows nothing of meaning:
//! "car" and "automobile" are strangers to it. What it needs is nothing: no model,
//! no network, no key; and the same text gives the same numbers on every machine
//! (only additions, divisions and square roots, in a fixed order).

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

/// The name under which its embeddings are stored.
pub const MODEL: &str = "lexical-256";

/// How many numbers a vector has.
pub const DIMENSION: usize = 256;

/// The vector of a text: 256 numbers of length 1 together, never all zero.
#[must_use]
pub fn embed(text: &str) -> Vec<f32> {
    let mut features: BTreeMap<String, f64> = BTreeMap::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let word = word.to_lowercase();
        let letters: Vec<char> = format!("^{word}$").chars().collect();
        // Short words are mostly grammar, in most languages.
        let weight = if letters.len() < 6 { 0.25 } else { 1.0 };
        let trigrams: Vec<String> = letters.windows(3).map(|three| three.iter().collect()).collect();
        let share = weight / f64::from(u32::try_from(trigrams.len()).unwrap_or(u32::MAX)).sqrt();
        for trigram in trigrams {
            *features.entry(trigram).or_default() += share;
        }
        *features.entry(format!(" {word}")).or_default() += weight;
    }
    let mut sums = [0f64; DIMENSION];
    for (feature, weight) in &features {
        let (place, sign) = place(feature);
        // A word said nine times counts three times.
        sums[place] += sign * weight.sqrt();
    }
    let mut length = sums.iter().map(|number| number * number).sum::<f64>().sqrt();
    if length < 1e-9 {
        // No word at all, or features that cancel each other: the text as a whole is its only feature.
        sums[place(text).0] = 1.0;
        length = sums.iter().map(|number| number * number).sum::<f64>().sqrt();
    }
    #[expect(clippy::cast_possible_truncation, reason = "a vector holds f32")]
    let vector = sums.iter().map(|number| (number / length) as f32).collect();
    vector
}

/// Where a feature is counted, and whether it counts up or down.
fn place(feature: &str) -> (usize, f64) {
    let hash = xxh3_64(feature.as_bytes());
    let place = usize::try_from(hash % DIMENSION as u64).unwrap_or(0);
    (place, if hash >> 63 == 0 { 1.0 } else { -1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearness(a: &str, b: &str) -> f32 {
        embed(a).iter().zip(embed(b)).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn the_numbers_of_a_text_never_change() {
        let vector = embed("The tide comes in twice a day.");
        let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        assert_eq!(format!("{:016x}", xxh3_64(&bytes)), "dbf3bbe7440f215f");
    }

    #[test]
    fn a_text_is_nearest_to_what_shares_its_words() {
        let question = "how do bees make honey";
        let near = nearness(question, "Honey bees carry nectar home and make honey of it.");
        let far = nearness(question, "A contour line joins points of equal height on a map.");
        assert!(near > far + 0.2, "{near} {far}");
        assert!(nearness("kneading", "kneaded dough") > nearness("kneading", "spring tides"));
    }

    proptest::proptest! {
        #[test]
        fn every_vector_has_length_one(text in ".{0,200}") {
            let vector = embed(&text);
            let length: f32 = vector.iter().map(|number| number * number).sum();
            proptest::prop_assert_eq!(vector.len(), DIMENSION);
            proptest::prop_assert!((length - 1.0).abs() < 1e-4);
        }
    }
}
