//! A fixed rotation that spreads every vector over all its numbers.
//!
//! A code keeps one bit of each number. Of data that is sparse, or that is never
//! negative, such bits say nothing; of the rotated data they say as much as of any.
//! Signs are flipped by a fixed sequence and mixed by Walsh-Hadamard transforms:
//! orthogonal, so that lengths and angles stay.

/// How often signs are flipped and numbers mixed.
const ROUNDS: u64 = 3;

/// Rotates `vector` in place. Codes in databases depend on every detail of it.
pub fn rotate(vector: &mut [f32]) {
    let Some(log) = vector.len().checked_ilog2() else { return };
    let block = 1usize << log;
    let last = vector.len() - block;
    for round in 0..ROUNDS {
        flip(vector, round);
        mix(&mut vector[..block]);
        if last > 0 {
            mix(&mut vector[last..]);
        }
    }
}

/// Changes the sign of about half of the numbers, always the same ones.
fn flip(vector: &mut [f32], round: u64) {
    for (word, numbers) in (0u64..).zip(vector.chunks_mut(64)) {
        let signs = mixed((round << 32) | word);
        for (bit, number) in numbers.iter_mut().enumerate() {
            if signs >> bit & 1 == 1 {
                *number = -*number;
            }
        }
    }
}

/// A number that has nothing to do with `seed` (SplitMix64).
const fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The Walsh-Hadamard transform of a power of two of numbers, made orthogonal.
fn mix(numbers: &mut [f32]) {
    let mut half = 1;
    while half < numbers.len() {
        for pair in numbers.chunks_exact_mut(2 * half) {
            let (left, right) = pair.split_at_mut(half);
            for (a, b) in left.iter_mut().zip(right) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    #[expect(clippy::cast_precision_loss, reason = "a power of two")]
    let scale = 1.0 / (numbers.len() as f32).sqrt();
    numbers.iter_mut().for_each(|number| *number *= scale);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_angles_stay() {
        for length in [1u16, 2, 3, 7, 64, 100, 512, 1000, 1536] {
            let a: Vec<f32> = (0..length).map(|i| f32::from(i % 17) - 3.0).collect();
            let b: Vec<f32> = (0..length).map(|i| f32::from(i % 5)).collect();
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
            let (mut c, mut d) = (a.clone(), b.clone());
            rotate(&mut c);
            rotate(&mut d);
            assert!((dot(&a, &b) - dot(&c, &d)).abs() <= 1e-4 * (dot(&a, &a) * dot(&b, &b)).sqrt() + 1e-6, "{length}");
        }
    }

    #[test]
    fn a_single_number_is_spread_over_all() {
        let mut vector = vec![0.0; 1536];
        vector[7] = 1.0;
        rotate(&mut vector);
        let greatest = vector.iter().fold(0.0_f32, |greatest, number| greatest.max(number.abs()));
        assert!(greatest < 0.25 && vector.iter().filter(|number| **number > 0.0).count() > 600, "{greatest}");
    }
}
