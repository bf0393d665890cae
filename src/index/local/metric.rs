//! Exact scores. Sums are made in f64 and in one order, so that every replica and every run gives the same.

use crate::config::Metric;

/// How many sums run side by side: what lets the compiler use whole registers.
const LANES: usize = 8;

/// The sum of `term` over the pairs of two vectors of one length.
fn sum(a: &[f32], b: &[f32], term: impl Fn(f64, f64) -> f64) -> f64 {
    let mut sums = [0.0; LANES];
    let (a_parts, b_parts) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_parts.remainder().iter().zip(b_parts.remainder());
    let rest: f64 = rest.map(|(a, b)| term(f64::from(*a), f64::from(*b))).sum();
    for (a, b) in a_parts.zip(b_parts) {
        for lane in 0..LANES {
            sums[lane] += term(f64::from(a[lane]), f64::from(b[lane]));
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// The dot product.
#[must_use]
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    sum(a, b, |a, b| a * b)
}

/// The square of the distance.
#[must_use]
pub fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    sum(a, b, |a, b| (a - b) * (a - b))
}

/// A score as an f32; a dot product of great vectors may be beyond it.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "a score is an f32, as in the service this index stands in for")]
pub fn narrow(score: f64) -> f32 {
    score.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

/// The score of `vector` for `query`: the higher, the nearer.
#[must_use]
pub fn score(metric: Metric, query: &[f32], vector: &[f32]) -> f32 {
    let score = match metric {
        Metric::Dotproduct => dot(query, vector),
        Metric::Cosine => {
            let norms = (dot(query, query) * dot(vector, vector)).sqrt();
            if norms > 0.0 { (dot(query, vector) / norms).clamp(-1.0, 1.0) } else { 0.0 }
        }
        Metric::Euclidean => 1.0 / (1.0 + squared_distance(query, vector)),
    };
    narrow(score)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearer_vectors_have_higher_scores_on_every_metric() {
        let query: Vec<f32> = (0..19u8).map(f32::from).collect();
        let near: Vec<f32> = query.iter().map(|number| number + 0.1).collect();
        let far: Vec<f32> = query.iter().map(|number| -number).collect();
        for metric in [Metric::Cosine, Metric::Dotproduct, Metric::Euclidean] {
            assert!(score(metric, &query, &near) > score(metric, &query, &far), "{metric:?}");
        }
        assert_eq!(score(Metric::Cosine, &query, &query), 1.0);
        assert_eq!(score(Metric::Euclidean, &query, &query), 1.0);
        assert_eq!(score(Metric::Dotproduct, &[3.0, 4.0], &[2.0, 1.0]), 10.0);
        assert_eq!(score(Metric::Euclidean, &[3.0, 4.0], &[2.0, 2.0]), 1.0 / 6.0);
        assert_eq!(score(Metric::Dotproduct, &[f32::MAX], &[f32::MAX]), f32::MAX);
    }
}
