//! What the process keeps of the index, as of a revision: codes and facets, no vectors.

use std::collections::HashMap;

use crate::config::Metric;
use crate::filter::Filter;
use crate::index::local::best::Best;
use crate::index::local::best::Spot;
use crate::index::local::code::Layout;
use crate::index::local::code::Prepared;
use crate::index::local::segment::Places;
use crate::index::local::segment::Segment;
use crate::store::local_records::Changed;
use crate::store::local_records::Clock;

/// How many times as many records pass the cheap estimate as the better one.
const WIDER: usize = 8;

/// From how many exact scores on a query for more matches gets fewer for each.
const MANY: usize = 5000;

/// Up to so many records, more of them are scored exactly: codes of near neighbours in one wide cluster differ
/// little, and small indexes can afford it.
const FEW: usize = 20_000;

/// How a query narrows down what is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Narrowing {
    /// How many records are scored exactly for every match that is asked for.
    pub per_match: usize,
    /// How many at least.
    pub least: usize,
    /// How many at least where the namespace, or all of them, have few records.
    pub least_of_few: usize,
}

impl Default for Narrowing {
    fn default() -> Self {
        Self { per_match: 10, least: 200, least_of_few: 1000 }
    }
}

impl Narrowing {
    /// How many records are scored exactly for `top_k` matches of `records`. A filter has no part in it, so
    /// that it never makes a query read more.
    #[must_use]
    pub fn scored(&self, top_k: usize, records: usize) -> usize {
        let least = if records <= FEW { self.least_of_few } else { self.least };
        let many = top_k.saturating_mul(self.per_match).max(least);
        // Of thousands of matches the last are not worth ten times as many vectors.
        many.min(top_k.saturating_mul(2).saturating_add(MANY))
    }
}

/// Codes and facets as of a revision.
#[derive(Debug, Default)]
pub struct Memory {
    /// The last change that is in it.
    pub seen: (i64, i64),
    /// Numbers of a vector; 0 until it is known.
    pub dimension: i32,
    segments: Vec<Segment>,
    by_namespace: HashMap<String, u32>,
    by_number: HashMap<i64, Spot>,
}

impl Memory {
    /// How many records it knows.
    #[must_use]
    pub fn records(&self) -> usize {
        self.by_number.len()
    }

    /// Whether it is as the database was when it said `clock`.
    #[must_use]
    pub fn is_at(&self, clock: &Clock) -> bool {
        self.seen.0 == clock.rev && self.dimension == clock.dimension.unwrap_or(0)
    }

    /// Prepares for the changes up to `clock`; gives where to read on. Begins anew when the records have another
    /// dimension, when tombstones are gone that it has not seen, and when the database went back in time.
    pub fn begin(&mut self, clock: &Clock) -> (i64, i64) {
        let dimension = clock.dimension.unwrap_or(0);
        if dimension != self.dimension || clock.pruned > self.seen.0 || clock.rev < self.seen.0 {
            *self = Self { dimension, ..Self::default() };
        }
        self.seen
    }

    /// Takes in a change.
    pub fn apply(&mut self, change: &Changed) {
        let known = self.by_number.get(&change.number).copied();
        let Some((code, facets)) = &change.content else {
            if let Some(spot) = known {
                self.remove(change.number, spot);
            }
            return;
        };
        let segment = self.segment(&change.namespace);
        let Some(at) = self.segments.get_mut(segment as usize) else { return };
        match at.put(known.map(|(_, place)| place), change.number, code, facets) {
            Some(place) => {
                self.by_number.insert(change.number, (segment, place));
            }
            // A code of another dimension: the index is being filled anew, and so will this be.
            None => tracing::debug!(number = change.number, "a code does not fit"),
        }
    }

    fn segment(&mut self, namespace: &str) -> u32 {
        if let Some(&segment) = self.by_namespace.get(namespace) {
            return segment;
        }
        let segment = u32::try_from(self.segments.len()).unwrap_or(u32::MAX);
        let layout = Layout::of(usize::try_from(self.dimension).unwrap_or(0));
        self.segments.push(Segment::new(namespace, layout));
        self.by_namespace.insert(namespace.to_owned(), segment);
        segment
    }

    fn remove(&mut self, number: i64, (segment, place): Spot) {
        self.by_number.remove(&number);
        if let Some(moved) = self.segments.get_mut(segment as usize).and_then(|segment| segment.swap_remove(place)) {
            self.by_number.insert(moved, (segment, place));
        }
    }

    /// The addresses of the records that are worth to be scored for `query`, in no order.
    #[must_use]
    pub fn candidates(
        &self,
        namespace: Option<&str>,
        filter: Option<&Filter>,
        (metric, query): (Metric, &[f32]),
        (narrowing, top_k): (Narrowing, usize),
    ) -> Vec<i64> {
        let segments = (0u32..).zip(&self.segments);
        let segments = segments.filter(|(_, segment)| namespace.is_none_or(|name| segment.namespace == name));
        let records = segments.clone().map(|(_, segment)| segment.records()).sum();
        let scored = narrowing.scored(top_k, records);
        let selected: Vec<(u32, &Segment, Places)> =
            segments.map(|(at, segment)| (at, segment, segment.select(filter))).collect();
        let count: usize = selected.iter().map(|(_, _, places)| places.count()).sum();
        if count <= scored {
            let mut all = Vec::with_capacity(count);
            for (_, segment, places) in &selected {
                segment.all(places, |number| all.push(number));
            }
            return all;
        }
        let query = Prepared::new(metric, query);
        let two_steps = query.has_two_steps();
        let mut best = Best::new(if two_steps { scored * WIDER } else { scored });
        for (at, segment, places) in &selected {
            segment.scan(&query, places, *at, &mut best);
        }
        let segment = |at: u32| self.segments.get(at as usize);
        let mut spots = best.spots();
        if two_steps && spots.len() > scored {
            let mut best = Best::new(scored);
            for spot in spots {
                if let Some(segment) = segment(spot.0) {
                    best.offer(segment.refine(&query, spot.1), spot);
                }
            }
            spots = best.spots();
        }
        spots.into_iter().filter_map(|(at, place)| Some(segment(at)?.number(place))).collect()
    }
}
