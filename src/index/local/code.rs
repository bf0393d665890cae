//! What memory keeps of a vector: its length, and its direction in few bits.
//!
//! From 512 dimensions on, one bit a number: the sign after a rotation (see
//! `rotate`). Counting equal bits estimates the angle to a query; a second, dearer
//! estimate weighs the bits with the query's own numbers. Below, where so few bits
//! would say too little, one signed byte a number. Neither depends on the metric:
//! length and angle give all three.
//!
//! How far an estimate may be off is known too (Gao and Long, "RaBitQ", 2024), and
//! so the score that a record hardly exceeds.

use crate::config::Metric;
use crate::index::local::metric::dot;
use crate::index::local::rotate::rotate;

/// From how many dimensions on a number is kept as one bit.
const BITS_FROM: usize = 512;
/// Bytes before the direction: length and factor, as f32.
const HEAD: usize = 8;
/// What a query's numbers are scaled to where records are kept as bytes.
const QUERY_SCALE: f32 = 16_383.0;
/// How many standard deviations above its estimate a cosine is taken to be at most.
const CONFIDENCE: f32 = 2.5;

/// How codes of one dimension look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// So many words of 64 signs.
    Bits {
        /// Numbers of a vector.
        dimension: usize,
        /// Words of a code.
        words: usize,
    },
    /// So many signed bytes.
    Bytes {
        /// Numbers of a vector.
        dimension: usize,
    },
}

/// The numbers of a code, taken apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Head {
    /// The vector's length.
    pub norm: f32,
    /// What turns the raw estimate into a cosine.
    pub factor: f32,
}

impl Layout {
    /// How codes of vectors of `dimension` look.
    #[must_use]
    pub const fn of(dimension: usize) -> Self {
        if dimension >= BITS_FROM {
            Self::Bits { dimension, words: dimension.div_ceil(64) }
        } else {
            Self::Bytes { dimension }
        }
    }

    /// Bytes of a whole code.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bits { words, .. } => HEAD + words * 8,
            Self::Bytes { dimension } => HEAD + dimension,
        }
    }

    /// The code of a vector that is finite and not all zero.
    #[must_use]
    pub fn encode(self, vector: &[f32]) -> Vec<u8> {
        let (norm, mut unit) = unit(vector);
        let mut code = Vec::with_capacity(self.bytes());
        code.extend(norm.to_le_bytes());
        match self {
            Self::Bits { .. } => {
                rotate(&mut unit);
                let sum: f32 = unit.iter().map(|number| number.abs()).sum();
                code.extend((1.0 / sum).to_le_bytes());
                for word in signs(&unit) {
                    code.extend(word.to_le_bytes());
                }
            }
            Self::Bytes { .. } => {
                let scale = greatest(&unit) / 127.0;
                code.extend(scale.to_le_bytes());
                code.extend(unit.iter().flat_map(|number| quantised(number / scale).to_le_bytes()));
            }
        }
        code
    }
}

/// Takes a code apart: head and direction.
#[must_use]
pub fn split(code: &[u8]) -> Option<(Head, &[u8])> {
    let (norm, rest) = code.split_first_chunk::<4>()?;
    let (factor, rest) = rest.split_first_chunk::<4>()?;
    Some((Head { norm: f32::from_le_bytes(*norm), factor: f32::from_le_bytes(*factor) }, rest))
}

/// Length and direction. The length of a vector too long for f32 is the greatest f32.
#[expect(clippy::cast_possible_truncation, reason = "estimates are made of f32")]
fn unit(vector: &[f32]) -> (f32, Vec<f32>) {
    let norm = dot(vector, vector).sqrt();
    let unit = vector.iter().map(|number| (f64::from(*number) / norm) as f32).collect();
    (norm.clamp(f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX)) as f32, unit)
}

fn greatest(unit: &[f32]) -> f32 {
    unit.iter().fold(f32::MIN_POSITIVE, |greatest, number| greatest.max(number.abs()))
}

#[expect(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
fn quantised(number: f32) -> i8 {
    number.round() as i8
}

/// A set bit for every number above zero.
fn signs(unit: &[f32]) -> impl Iterator<Item = u64> {
    unit.chunks(64)
        .map(|numbers| numbers.iter().enumerate().fold(0, |word, (bit, number)| word | u64::from(*number > 0.0) << bit))
}

/// A query, prepared to be compared with codes.
#[derive(Debug)]
pub struct Prepared {
    metric: Metric,
    norm: f64,
    direction: Direction,
}

#[derive(Debug)]
enum Direction {
    Bits { signs: Vec<u64>, cosines: Vec<f32>, sums: Vec<[f32; 256]>, total: f32 },
    Bytes { numbers: Vec<i16>, scale: f32 },
}

impl Prepared {
    /// Prepares `query` for codes of its dimension.
    #[must_use]
    pub fn new(metric: Metric, query: &[f32]) -> Self {
        let (norm, mut unit) = unit(query);
        let direction = match Layout::of(query.len()) {
            Layout::Bits { dimension, words } => {
                rotate(&mut unit);
                let signs = signs(&unit).collect();
                unit.resize(words * 64, 0.0);
                Direction::Bits {
                    signs,
                    cosines: cosines(dimension),
                    sums: unit.chunks_exact(8).map(sums).collect(),
                    total: unit.iter().sum(),
                }
            }
            Layout::Bytes { .. } => {
                let scale = greatest(&unit) / QUERY_SCALE;
                #[expect(clippy::cast_possible_truncation, reason = "scaled to fit")]
                let numbers = unit.iter().map(|number| (number / scale).round() as i16).collect();
                Direction::Bytes { numbers, scale }
            }
        };
        Self { metric, norm: f64::from(norm), direction }
    }

    /// Orders records as their scores would: `cosine` is estimated, the length is known.
    fn key(&self, norm: f32, cosine: f32) -> f64 {
        let (norm, cosine) = (f64::from(norm), f64::from(cosine));
        match self.metric {
            Metric::Cosine => cosine,
            Metric::Dotproduct => norm * cosine,
            Metric::Euclidean => 2.0 * norm * self.norm * cosine - norm * norm,
        }
    }

    /// What a record scores at most, unless chance is against it.
    fn bound(&self, norm: f32, cosine: f32, deviation: f32) -> f64 {
        let key = self.key(norm, (cosine + CONFIDENCE * deviation).min(1.0));
        match self.metric {
            Metric::Cosine => key,
            Metric::Dotproduct => self.norm * key,
            Metric::Euclidean => 1.0 / (1.0 + (self.norm * self.norm - key).max(0.0)),
        }
    }

    /// Whether the scan is by [`Self::quick_bits`], which says less than [`Self::bound_bits`].
    #[must_use]
    pub const fn has_two_steps(&self) -> bool {
        matches!(self.direction, Direction::Bits { .. })
    }

    /// The cheap estimate, from a code of bits.
    #[must_use]
    pub fn quick_bits(&self, head: Head, code: &[u64]) -> f64 {
        match &self.direction {
            Direction::Bits { signs, cosines, .. } => self.key(head.norm, cosines[different(signs, code)]),
            Direction::Bytes { .. } => f64::NEG_INFINITY,
        }
    }

    /// What the record of a code of bits scores at most.
    #[must_use]
    pub fn bound_bits(&self, head: Head, code: &[u64]) -> f64 {
        let (cosine, deviation) = self.estimate_bits(head, code);
        self.bound(head.norm, cosine, deviation)
    }

    /// The better estimate, from a code of bits, and its standard deviation.
    fn estimate_bits(&self, head: Head, code: &[u64]) -> (f32, f32) {
        match &self.direction {
            Direction::Bits { sums, total, cosines, .. } => {
                // What is set counts for the query's number, what is not against it.
                let mut set = [0.0_f32; 8];
                for (sums, word) in sums.chunks_exact(8).zip(code) {
                    for ((set, sums), byte) in set.iter_mut().zip(sums).zip(word.to_le_bytes()) {
                        *set += sums[usize::from(byte)];
                    }
                }
                let set: f32 = set.iter().sum();
                let cosine = (2.0 * set - total) * head.factor;
                // The part of the query that is not along the record meets the code at random.
                #[expect(clippy::cast_precision_loss, reason = "an estimate")]
                let dimension = (cosines.len() - 1) as f32;
                let off = (head.factor * head.factor * dimension - 1.0).max(0.0) / (dimension - 1.0);
                (cosine, ((1.0 - cosine * cosine).max(0.0) * off).sqrt())
            }
            Direction::Bytes { .. } => (1.0, 0.0),
        }
    }

    /// What the record of a code of bytes scores at most.
    #[must_use]
    pub fn bound_bytes(&self, head: Head, code: &[i8]) -> f64 {
        let (cosine, deviation) = self.estimate_bytes(head, code);
        self.bound(head.norm, cosine, deviation)
    }

    /// The only estimate, from a code of bytes, and its standard deviation.
    fn estimate_bytes(&self, head: Head, code: &[i8]) -> (f32, f32) {
        match &self.direction {
            Direction::Bytes { numbers, scale } => {
                let sum: i32 = numbers.iter().zip(code).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
                #[expect(clippy::cast_precision_loss, reason = "an estimate")]
                let sum = sum as f32;
                // Rounding is off by up to half a step, evenly; the query has length 1.
                (sum * scale * head.factor, head.factor / 12.0_f32.sqrt())
            }
            Direction::Bits { .. } => (1.0, 0.0),
        }
    }
}

/// For every number of different signs of `dimension`, the cosine of the angle that makes it likely.
fn cosines(dimension: usize) -> Vec<f32> {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let cosine = |different: usize| (std::f32::consts::PI * different as f32 / dimension as f32).cos();
    (0..=dimension).map(cosine).collect()
}

/// For every set of 8 numbers, their sum.
fn sums(numbers: &[f32]) -> [f32; 256] {
    let mut sums = [0.0; 256];
    for set in 1..256usize {
        let bit = set.trailing_zeros() as usize;
        sums[set] = sums[set & (set - 1)] + numbers[bit];
    }
    sums
}

const ODD: u64 = 0x5555_5555_5555_5555;
const PAIRS: u64 = 0x3333_3333_3333_3333;
const NIBBLES: u64 = 0x0f0f_0f0f_0f0f_0f0f;
const BYTES: u64 = 0x00ff_00ff_00ff_00ff;

/// How many bits differ. Counts in bytes as long as they hold, which compilers turn into vector
/// instructions that every processor has.
fn different(a: &[u64], b: &[u64]) -> usize {
    let mut total = 0;
    // 31 words of at most 8 a byte stay below 256.
    for (a, b) in a.chunks(31).zip(b.chunks(31)) {
        let mut counts = 0u64;
        for (a, b) in a.iter().zip(b) {
            let mut word = a ^ b;
            word -= word >> 1 & ODD;
            word = (word & PAIRS) + (word >> 2 & PAIRS);
            counts += (word + (word >> 4)) & NIBBLES;
        }
        let counts = (counts & BYTES) + (counts >> 8 & BYTES);
        total += counts.wrapping_mul(0x0001_0001_0001_0001) >> 48;
    }
    usize::try_from(total).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::local::metric::score;

    #[test]
    fn different_bits_are_counted() {
        for words in [1u64, 8, 24, 31, 32, 63, 313] {
            let a: Vec<u64> = (0..words).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
            let b: Vec<u64> = (0..words).map(|i| !i.wrapping_mul(0xbf58_476d_1ce4_e5b9)).collect();
            let counted: u32 = a.iter().zip(&b).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert_eq!(different(&a, &b), counted as usize);
            assert_eq!(different(&a, &a.iter().map(|word| !word).collect::<Vec<_>>()) as u64, words * 64);
        }
    }

    /// A vector that is near to `of`, or anywhere.
    fn random(rng: &mut fastrand::Rng, dimension: usize, of: Option<&[f32]>) -> Vec<f32> {
        (0..dimension).map(|i| of.map_or(0.0, |of| of[i]) + 0.5 - rng.f32()).collect()
    }

    #[test]
    fn estimates_are_near_the_truth_in_every_layout_and_metric() {
        let mut rng = fastrand::Rng::with_seed(1);
        for (dimension, allowed) in [(2, 0.02), (30, 0.02), (384, 0.02), (512, 0.12), (1536, 0.07), (4000, 0.05)] {
            for _ in 0..20 {
                let query = random(&mut rng, dimension, None);
                let vector = random(&mut rng, dimension, Some(&query));
                let layout = Layout::of(dimension);
                let code = layout.encode(&vector);
                assert_eq!(code.len(), layout.bytes());
                let (head, rest) = split(&code).unwrap();
                let prepared = Prepared::new(Metric::Cosine, &query);
                let cosine = match layout {
                    Layout::Bits { .. } => {
                        let words: Vec<u64> =
                            rest.as_chunks().0.iter().map(|eight| u64::from_le_bytes(*eight)).collect();
                        let (cosine, _) = prepared.estimate_bits(head, &words);
                        assert!((prepared.quick_bits(head, &words) - f64::from(cosine)).abs() < 2.0 * allowed);
                        f64::from(cosine)
                    }
                    Layout::Bytes { .. } => {
                        let bytes: Vec<i8> = rest.iter().map(|byte| byte.cast_signed()).collect();
                        f64::from(prepared.estimate_bytes(head, &bytes).0)
                    }
                };
                let truth = dot(&query, &vector) / (dot(&query, &query) * dot(&vector, &vector)).sqrt();
                assert!((cosine - truth).abs() < allowed, "{dimension}: {cosine} for {truth}");
                assert!((f64::from(head.norm) - dot(&vector, &vector).sqrt()).abs() < 1e-4 * f64::from(head.norm));
            }
        }
    }

    #[test]
    fn scores_hardly_ever_exceed_their_bounds_and_bounds_are_near() {
        let mut rng = fastrand::Rng::with_seed(2);
        for (dimension, allowed) in [(384, 0.01), (512, 0.15), (1536, 0.09)] {
            let query = random(&mut rng, dimension, None);
            for metric in [Metric::Cosine, Metric::Dotproduct, Metric::Euclidean] {
                let prepared = Prepared::new(metric, &query);
                let (mut above, mut off) = (0, 0.0_f64);
                for _ in 0..500 {
                    let vector = random(&mut rng, dimension, Some(&query));
                    let code = Layout::of(dimension).encode(&vector);
                    let (head, rest) = split(&code).unwrap();
                    let words: Vec<u64> = rest.as_chunks().0.iter().map(|eight| u64::from_le_bytes(*eight)).collect();
                    let bytes: Vec<i8> = rest.iter().map(|byte| byte.cast_signed()).collect();
                    let bound = match Layout::of(dimension) {
                        Layout::Bits { .. } => prepared.bound_bits(head, &words),
                        Layout::Bytes { .. } => prepared.bound_bytes(head, &bytes),
                    };
                    let score = f64::from(score(metric, &query, &vector));
                    above += usize::from(score > bound);
                    off = off.max((bound - score).abs() / score);
                }
                assert!(above <= 10, "{metric:?}, {dimension}: {above} of 500");
                assert!(metric == Metric::Euclidean || off < 2.0 * allowed, "{metric:?}, {dimension}: {off}");
            }
        }
    }

    #[test]
    fn great_and_small_vectors_have_codes() {
        for dimension in [3, 600] {
            for number in [f32::MAX, f32::MIN_POSITIVE, 1e-44] {
                let code = Layout::of(dimension).encode(&vec![number; dimension]);
                let (head, _) = split(&code).unwrap();
                assert!(head.norm.is_finite() && head.norm > 0.0 && head.factor.is_finite() && head.factor > 0.0);
            }
        }
    }
}
